from ...ir.transform import Pass
from ...target import Target

def BindTarget(target: Target) -> Pass: ...
