"""Small recordings in formats of others. In episode e at step t: state (e, t), action (10 e + t, -t), and pictures of 8 x 8 whose
every pixel is (10 e, t, 200). Episodes have 3 and 2 steps."""

import json

import cv2
import numpy as np
from safetensors.numpy import save_file

LENGTHS = (3, 2)
TEXTS = ("go to the cup", "lift the ball")
STEPS = [(e, t) for e, length in enumerate(LENGTHS) for t in range(length)]
ACTIONS = [[0, 0], [1, -1], [2, -2], [10, 0], [11, -1]]
STATES = [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1]]
PIXELS = [[10 * e, t, 200] for e, t in STATES]


def frame(e, t):
    return np.full((8, 8, 3), (10 * e, t, 200), np.uint8)


def pixels(reader, camera):
    """The first pixel of every frame, of pictures of one colour."""
    frames = np.concatenate([block[camera] for block in reader.frames([camera])])
    assert (frames == frames[:, :1, :1]).all()
    return frames[:, 0, 0].tolist()


def depth(e, t):
    """uint16 [8, 8, 1]: 100 e + 10 t."""
    return np.full((8, 8, 1), 100 * e + 10 * t, np.uint16)


def columns(e, length):
    steps = np.arange(length, dtype=np.float64)
    return {"state": np.stack([np.full(length, e), steps], 1), "action": np.stack([10 * e + steps, -steps], 1)}


def write_libero(path, lengths=LENGTHS, text=TEXTS[0]):
    """One file with the observations and attributes of LIBERO; the state is ee_pos (e, t), ee_ori and gripper_states."""
    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["total"] = sum(lengths)
        data.attrs["env_args"] = json.dumps({"env_name": "x", "env_kwargs": {"control_freq": 20}})
        data.attrs["problem_info"] = json.dumps({"language_instruction": list(f'"{text}"')})
        for e, length in enumerate(lengths):
            demo = data.create_group(f"demo_{e}")
            demo.attrs["num_samples"] = length
            values = columns(e, length)
            demo["actions"] = values["action"]
            demo["states"] = np.zeros((length, 5))
            demo["rewards"], demo["dones"] = np.arange(length) == length - 1, np.arange(length) == length - 1
            demo["obs/ee_pos"] = values["state"]
            demo["obs/ee_ori"] = np.zeros((length, 3))
            demo["obs/gripper_states"] = np.ones((length, 1))
            demo["obs/agentview_rgb"] = np.stack([frame(e, t) for t in range(length)])
            demo["obs/agentview_depth"] = np.stack([depth(e, t) for t in range(length)])
            demo["next_obs/ee_pos"] = values["state"]
    return path


def write_robomimic(path):
    """LIBERO's file under the names of robomimic, without a text, its demonstrations listed in mask/train and mask/valid."""
    import h5py

    write_libero(path)
    with h5py.File(path, "a") as file:
        del file["data"].attrs["problem_info"]
        for demo in file["data"].values():
            for old, new in (
                ("ee_pos", "robot0_eef_pos"),
                ("ee_ori", "robot0_eef_quat"),
                ("gripper_states", "robot0_gripper_qpos"),
            ):
                demo["obs"].move(old, new)
        file["mask/train"] = np.array([b"demo_1"])
        file["mask/valid"] = np.array(["demo_0"], dtype=h5py.string_dtype())
    return path


def write_image_folder(folder):
    """Rows of both episodes in turn, as a collector that shuffles would leave them."""
    (folder / "images").mkdir(parents=True)
    rows = []
    for e, t in sorted(STEPS, key=lambda step: (step[1], step[0])):
        name = f"{e}-{t}"
        cv2.imwrite(str(folder / f"images/{name}.jpg"), frame(e, t)[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 100])
        tokens = [1, 2, 3]
        action = [10 * e + t, -t]
        rows.append({"image_id": name, "instruction": TEXTS[e], "action": action, "language_tokens": tokens})
        rows[-1] |= {"sequence_id": e, "timestamp": 100.0 * e + t / 5}
    (folder / "metadata.json").write_text(json.dumps(rows))
    return folder


def write_collector(folder, cameras=("top",)):
    """``robot_state`` is an object of two parts; a depth camera is a PNG of 16 bits."""
    (folder / "images").mkdir(parents=True)
    for e, length in enumerate(LENGTHS):
        rows = []
        for t in range(length):
            paths = {name: f"images/{name}-{100 * e + t}.png" for name in cameras}
            for name, path in paths.items():
                cv2.imwrite(str(folder / path), depth(e, t) if "depth" in name else frame(e, t)[:, :, ::-1])
            state = {"arm": [e, t], "grip": {"open": t % 2, "mode": "soft"}}
            row = {"timestamp": 100 * e + t / 4, "language_command": TEXTS[e], "action": [10 * e + t, -t], "robot_state": state}
            world = {"cup": [0.5, 0.25], **({"late": 1} if t else {})}
            rows.append(row | {"image_path": paths if len(paths) > 1 else paths["top"], "environment_state": world})
        (folder / f"demo_{e}.json").write_text(json.dumps(rows))
    return folder


def write_tensors(folder):
    folder.mkdir(parents=True, exist_ok=True)
    parts = [columns(e, length) for e, length in enumerate(LENGTHS)]
    tensors = {
        "image.top": np.stack([frame(e, t) for e, t in STEPS]),
        "state": np.concatenate([part["state"] for part in parts]).astype(np.float32),
        "actions": np.concatenate([part["action"] for part in parts]).astype(np.float32),
        "episode_indices": np.array([7 * e for e, _ in STEPS]),
    }
    save_file(tensors, folder / "demos.safetensors")
    (folder / "demos.json").write_text(json.dumps({"language": TEXTS}))
    return folder
