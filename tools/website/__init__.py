"""The course as a static website: `make site`.

Everything on it comes from somewhere else in the repository: the lessons with the outputs stored in
them, the map from the README and the heads of the notebooks, the reference from labkit's
docstrings, the lists of files to copy from its imports. Only the glossary's definitions and a few
words of introduction are written here. Nothing is executed, and no page asks another host for
anything."""
