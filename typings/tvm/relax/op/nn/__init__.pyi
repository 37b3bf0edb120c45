from tvm_ffi import dtype as DataType

from ....ir import Expr

def conv1d(
    data: Expr,
    weight: Expr,
    strides: int | tuple[int] = 1,
    padding: int | tuple[int, ...] = 0,
    dilation: int | tuple[int] = 1,
    groups: int = 1,
    data_layout: str = "NCW",
    kernel_layout: str = "OIW",
    out_layout: str | None = None,
    out_dtype: str | DataType | None = None,
) -> Expr: ...
def conv2d(
    data: Expr,
    weight: Expr,
    strides: int | tuple[int, int] = (1, 1),
    padding: int | tuple[int, ...] = (0, 0),
    dilation: int | tuple[int, int] = (1, 1),
    groups: int = 1,
    data_layout: str = "NCHW",
    kernel_layout: str = "OIHW",
    out_layout: str | None = None,
    out_dtype: str | DataType | None = None,
) -> Expr: ...
def conv3d(
    data: Expr,
    weight: Expr,
    strides: int | tuple[int, int, int] = (1, 1, 1),
    padding: int | tuple[int, ...] = (0, 0, 0),
    dilation: int | tuple[int, int, int] = (1, 1, 1),
    groups: int = 1,
    data_layout: str = "NCDHW",
    kernel_layout: str = "OIDHW",
    out_layout: str | None = None,
    out_dtype: str | DataType | None = None,
) -> Expr: ...
