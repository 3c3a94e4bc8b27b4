"""A sweep's own folder: a record of each job, written by whatever process runs it, and the summary made from them."""
