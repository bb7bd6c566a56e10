"""The doors of the workflow, one for each rule: `python -m scripts.<rule> --help`."""
