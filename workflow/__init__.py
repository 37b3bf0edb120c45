"""What joins the stages, for Python and for the command line alike.

Each module is one job: `training` starts a run, `compression` takes a run directory to a packed directory, `tune`
searches its settings, `recipe_search` trains many networks, `bundle` builds, `report` draws pages, `demo` does it all.
Progress is reported through a callback, so nothing here prints.
"""
