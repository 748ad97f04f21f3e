"""A GRU layer over a sequence, made for training on a CPU with bfloat16 matrix units.

`torch.nn.GRU` on a CPU spends most of a step in float32 products and in keeping a graph of every
hop. Here the products are bfloat16 with float32 state and gates, and the gradient is written out:
all that does not depend on the gradient of the next hop is computed for the whole sequence at
once, so the backward loop is a product and three element-wise operations a hop.

The equations are those of `torch.nn.GRU` (Cho et al., 2014, with the reset gate applied after the
recurrent product), and the weights are its own, so a network runs either way.
"""

import torch

_BLOCK_HOPS = 16  # what a block needs stays in the cache


class _Gru(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, start, w_in, w_rec, b_in, b_rec, dtype):
        # x (T, B, D), start (B, H)
        n_hops, batch, _ = x.shape
        size = start.shape[1]
        x_low, w_in_low, w_rec_low = x.to(dtype), w_in.to(dtype), w_rec.to(dtype)
        bias = b_in.clone()
        bias[: 2 * size] += b_rec[: 2 * size]
        b_new = b_rec[2 * size :]
        gates = torch.empty(n_hops, batch, 2 * size)
        new = torch.empty(n_hops, batch, size)
        recurrent = torch.empty(n_hops, batch, size)
        states = torch.empty(n_hops + 1, batch, size)
        states_low = torch.empty(n_hops + 1, batch, size, dtype=dtype)
        states[0], states_low[0] = start, start
        from_input, from_state = w_in_low.t().contiguous(), w_rec_low.t().contiguous()
        product = torch.empty(batch, 3 * size, dtype=dtype)
        for begin in range(0, n_hops, _BLOCK_HOPS):
            block = slice(begin, min(begin + _BLOCK_HOPS, n_hops))
            given = x_low[block] @ from_input
            torch.add(given[..., : 2 * size], bias[: 2 * size], out=gates[block])
            torch.add(given[..., 2 * size :], bias[2 * size :], out=new[block])
            for hop in range(block.start, block.stop):
                torch.mm(states_low[hop], from_state, out=product)
                gate = gates[hop].add_(product[:, : 2 * size]).sigmoid_()
                torch.add(product[:, 2 * size :], b_new, out=recurrent[hop])
                n = new[hop].addcmul_(gate[:, :size], recurrent[hop]).tanh_()
                torch.lerp(n, states[hop], gate[:, size:], out=states[hop + 1])
                states_low[hop + 1].copy_(states[hop + 1])
        ctx.save_for_backward(x_low, w_in_low, w_rec_low, gates, new, recurrent, states, states_low)
        return states[1:], states[-1].clone()

    @staticmethod
    def backward(ctx, grad, grad_last):
        x_low, w_in_low, w_rec_low, gates, new, recurrent, states, states_low = ctx.saved_tensors
        n_hops, batch, size = new.shape
        factors = torch.empty(_BLOCK_HOPS, batch, 3, size)
        passed = torch.empty(_BLOCK_HOPS, batch, size)
        inner = torch.empty(_BLOCK_HOPS, batch, 3, size, dtype=x_low.dtype)
        grad_x = torch.empty(x_low.shape) if ctx.needs_input_grad[0] else None
        grad_w_in, grad_w_rec = torch.zeros(w_in_low.shape), torch.zeros(w_rec_low.shape)
        grad_b_in, grad_b_rec = torch.zeros(3 * size), torch.zeros(3 * size)
        carry = grad_last.clone()
        for begin in reversed(range(0, n_hops, _BLOCK_HOPS)):
            block = slice(begin, min(begin + _BLOCK_HOPS, n_hops))
            count = block.stop - block.start
            reset, update = gates[block, :, :size], gates[block, :, size:]
            n = new[block]
            # What a unit of gradient at a hop's state gives at the three pre-activations.
            kept = 1.0 - update
            by_new = kept * (1.0 - n.square())
            scaled = by_new * reset
            factor = factors[:count]
            torch.mul(scaled * recurrent[block], 1.0 - reset, out=factor[:, :, 0])
            torch.mul(states[block] - n, kept.mul_(update), out=factor[:, :, 1])
            factor[:, :, 2] = scaled
            for hop in range(count - 1, -1, -1):
                at = torch.add(carry, grad[begin + hop], out=passed[hop])
                torch.mul(at.unsqueeze(1), factor[hop], out=inner[hop])
                torch.mul(at, update[hop], out=carry)
                carry.add_(inner[hop].flatten(1) @ w_rec_low)
            flat = inner[:count].view(-1, 3 * size)
            grad_w_rec += flat.t() @ states_low[block].flatten(0, 1)
            grad_b_rec += flat.sum(dim=0, dtype=torch.float32)
            inner[:count, :, 2] = passed[:count] * by_new
            grad_w_in += flat.t() @ x_low[block].flatten(0, 1)
            grad_b_in += flat.sum(dim=0, dtype=torch.float32)
            if grad_x is not None:
                grad_x[block] = (flat @ w_in_low).view(count, batch, -1)
        return grad_x, carry, grad_w_in, grad_w_rec, grad_b_in, grad_b_rec, None


def gru_sequence(gru, x, start, dtype=torch.bfloat16):
    """Run a one-layer GRU over sequences.

    Parameters
    ----------
    gru : torch.nn.GRU
        One layer, one direction, with biases.
    x : Tensor, shape (T, B, input_size)
        Time first, so that a hop is one piece of memory.
    start : Tensor, shape (B, hidden_size)
        State before the first hop.
    dtype : torch.dtype
        Of the products; state and gates are float32 always.

    Returns
    -------
    states : Tensor, shape (T, B, hidden_size)
    last : Tensor, shape (B, hidden_size)
    """
    return _Gru.apply(
        x, start, gru.weight_ih_l0, gru.weight_hh_l0, gru.bias_ih_l0, gru.bias_hh_l0, dtype
    )
