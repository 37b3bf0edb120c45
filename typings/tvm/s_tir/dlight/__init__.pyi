from ...ir.transform import ModulePass
from . import gpu as gpu

class ScheduleRule: ...

class ApplyDefaultSchedule(ModulePass):
    def __init__(self, *rules: ScheduleRule) -> None: ...
