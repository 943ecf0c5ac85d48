from bench.door import Result as Result
from bench.door import UserError as UserError
from bench.door import load as load
from bench.door import measure as measure

__version__: str
