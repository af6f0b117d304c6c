"""labkit: the reference code of the course, and the bench on which it is broken.

A folder a category (`consistency`, …) holds code one would deploy; `world`, `sim`, `real` and
`check` are the bench; `course` holds what only the notebooks need. The README says who may import
whom."""
