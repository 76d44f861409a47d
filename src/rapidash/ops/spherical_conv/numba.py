"""spherical_conv on the CPU: a small matrix product per channel, without the copies that a batched product makes.

A task is a block of channels and a range of points; it has its own copy of its part of the kernel's gradient.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg"
# numba gives the types of what it compiles

import numba as nb
from torch import Tensor

from rapidash.ops._numba_runtime import as_array, num_threads, parallel_region, split_evenly
from rapidash.ops._simd import VECTOR_BYTES, add_products

POINTS_AT_ONCE = 16  # their features stay in the cache for both gradients
BLOCK = 64  # channels done at once: the kernel's part of them stays in the first cache
SERIAL_BELOW = 300_000  # products under which starting threads costs more than it gains


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _task(task, shape, chunks):
    points, _, _, channels = shape
    first, chunk = task // chunks * BLOCK, task % chunks
    return first, min(BLOCK, channels - first), chunk * points // chunks, (chunk + 1) * points // chunks


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _add_products(a, at_a, step_a, b, at_b, step_b, count, scale, out, at_out, width):
    """out += scale * sum_i a_i * b_i over rows of channels: whole vectors, then what is left."""
    add_products(a, at_a, step_a, b, at_b, step_b, count, scale, out, at_out, width)
    for c in range(width - width % (VECTOR_BYTES // a.itemsize), width):
        total = a.dtype.type(0)
        for i in range(count):
            total += a[at_a + i * step_a + c] * b[at_b + i * step_b + c]
        out[at_out + c] += scale * total


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _forward(tasks, x, kernel, out, scale, shape, chunks):
    _, ins, outs, channels = shape
    for task in range(tasks[0], tasks[1]):
        first, width, low, high = _task(task, shape, chunks)
        for n in range(low, high):
            at_x = n * ins * channels + first
            for b in range(outs):
                at_out, at_kernel = (n * outs + b) * channels + first, b * ins * channels + first
                out[at_out : at_out + width] = 0
                _add_products(kernel, at_kernel, channels, x, at_x, channels, ins, scale, out, at_out, width)


@nb.njit(cache=True, nogil=True, error_model="numpy")
def _backward(tasks, x, kernel, grad, grad_x, grad_kernel, scale, shape, chunks):
    _, ins, outs, channels = shape
    for task in range(tasks[0], tasks[1]):
        first, width, low, high = _task(task, shape, chunks)
        copy = grad_kernel[(task % chunks) * outs * ins * channels :]
        for start in range(low, high, POINTS_AT_ONCE):
            count = min(POINTS_AT_ONCE, high - start)
            for n in range(start, start + count):
                at_grad = n * outs * channels + first
                for a in range(ins):
                    at_x, at_kernel = (n * ins + a) * channels + first, a * channels + first
                    grad_x[at_x : at_x + width] = 0
                    _add_products(
                        kernel, at_kernel, ins * channels, grad, at_grad, channels, outs, scale, grad_x, at_x, width
                    )
            for b in range(outs):
                at_grad = (start * outs + b) * channels + first
                for a in range(ins):
                    at_x, at_kernel = (start * ins + a) * channels + first, (b * ins + a) * channels + first
                    _add_products(
                        x, at_x, ins * channels, grad, at_grad, outs * channels, count, scale, copy, at_kernel, width
                    )


@nb.njit(cache=True, parallel=True, error_model="numpy")
def _forward_parallel(num_tasks, x, kernel, out, scale, shape, chunks):
    for task in nb.prange(num_tasks):
        _forward((task, task + 1), x, kernel, out, scale, shape, chunks)


@nb.njit(cache=True, parallel=True, error_model="numpy")
def _backward_parallel(num_tasks, x, kernel, grad, grad_x, grad_kernel, scale, shape, chunks):
    for task in nb.prange(num_tasks):
        _backward((task, task + 1), x, kernel, grad, grad_x, grad_kernel, scale, shape, chunks)


def _plan(x: Tensor, kernel: Tensor) -> tuple[int, int, int, tuple[int, int, int, int]]:
    """Threads, chunks of points, tasks, and the shape."""
    shape = (x.shape[0], x.shape[1], kernel.shape[0], x.shape[2])
    blocks = -(-shape[3] // BLOCK)
    threads = num_threads() if shape[0] * shape[1] * shape[2] * shape[3] > SERIAL_BELOW else 1
    chunks = split_evenly(blocks, threads, limit=max(shape[0], 1))
    return threads, chunks, blocks * chunks, shape


def spherical_conv_forward(x: Tensor, kernel: Tensor) -> Tensor:
    """(N, O, C), (P, O, C) -> (N, P, C)."""
    threads, chunks, tasks, shape = _plan(x, kernel)
    out = x.new_empty(shape[0], shape[2], shape[3])
    features = as_array(x.contiguous())
    scale = features.dtype.type(1 / max(shape[1], 1))
    arrays = features, as_array(kernel.contiguous()), as_array(out), scale, shape, chunks
    if threads == 1:
        _forward((0, tasks), *arrays)
    else:
        with parallel_region(threads):
            _forward_parallel(tasks, *arrays)
    return out


def spherical_conv_backward(grad: Tensor, x: Tensor, kernel: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of x and kernel."""
    threads, chunks, tasks, shape = _plan(x, kernel)
    grad_x, copies = x.new_empty(x.shape), x.new_zeros(chunks, *kernel.shape)
    scale = x.detach().numpy().dtype.type(1 / max(shape[1], 1))
    inputs = as_array(x.contiguous()), as_array(kernel.contiguous()), as_array(grad.contiguous())
    arrays = *inputs, as_array(grad_x), as_array(copies), scale, shape, chunks
    if threads == 1:
        _backward((0, tasks), *arrays)
    else:
        with parallel_region(threads):
            _backward_parallel(tasks, *arrays)
    return grad_x, copies[0] if chunks == 1 else copies.sum(dim=0)
