//! A fully connected net with everything that is computed of it written out: its output, its gradient, and the two
//! things that Hessian-free optimisation asks for, products with the Gauss–Newton matrix and squared gradients.
//!
//! - hidden units are logistic; those of an autoencoder's code are linear
//! - the output is logistic with cross entropy summed over its units, or a softmax with cross entropy
//! - all parameters lie in one flat tensor, layer by layer the weights `[in, out]` and then the biases `[out]`, so that
//!   a gradient or a direction is a tensor of the same length
//!
//! `N` cases, `P` parameters, `W` units of a layer. Losses are nats per case.

use tch::{Device, Kind, Reduction, Tensor};

/// What the units of a layer do with their input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Units {
    /// `1 / (1 + exp(−x))`
    Logistic,
    /// `x`
    Linear,
    /// `exp(x) / Σ exp(x)`; of the output only.
    Softmax,
}

/// The shape of a net; its parameters are given to each call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Net {
    /// Units from the input to the output.
    widths: Vec<i64>,
    /// What each layer after the input does.
    units: Vec<Units>,
}

/// Views of one layer's parameters.
#[derive(Debug)]
pub struct Layer {
    /// `[in, out]`
    pub weight: Tensor,
    /// `[out]`
    pub bias: Tensor,
}

/// What a forward pass leaves for the backward one.
#[derive(Debug)]
pub struct Pass {
    /// What each layer gets, `[N, in]`; the first is the data.
    inputs: Vec<Tensor>,
    /// The output units' input, `[N, W]`.
    logits: Tensor,
    /// `[N, W]`
    pub output: Tensor,
}

impl Net {
    /// An autoencoder with these widths from the pixels to the code, and the same back.
    pub fn autoencoder(widths: &[i64]) -> Self {
        let code = widths.len() - 2;
        let back = widths.iter().rev().skip(1);
        let widths: Vec<i64> = widths.iter().chain(back).copied().collect();
        let unit = |layer| if layer == code { Units::Linear } else { Units::Logistic };
        Self { units: (0..widths.len() - 1).map(unit).collect(), widths }
    }

    /// A classifier with these widths from the pixels to the classes.
    pub fn classifier(widths: &[i64]) -> Self {
        let last = widths.len() - 2;
        let unit = |layer| if layer == last { Units::Softmax } else { Units::Logistic };
        Self { units: (0..=last).map(unit).collect(), widths: widths.to_vec() }
    }

    /// Units from the input to the output.
    pub fn widths(&self) -> &[i64] {
        &self.widths
    }

    /// `P`.
    pub fn n_params(&self) -> i64 {
        self.fans().map(|(fan_in, fan_out)| (fan_in + 1) * fan_out).sum()
    }

    /// Multiply-adds of a forward pass of one case.
    pub fn multiply_adds(&self) -> i64 {
        self.fans().map(|(fan_in, fan_out)| fan_in * fan_out).sum()
    }

    /// Units before and after each layer of weights.
    pub fn fans(&self) -> impl Iterator<Item = (i64, i64)> {
        self.widths.windows(2).map(|pair| (pair[0], pair[1]))
    }

    /// The layers' parts of `theta: [P]`, without copying.
    pub fn layers(&self, theta: &Tensor) -> Vec<Layer> {
        let mut at = 0;
        let mut take = |n: i64| {
            at += n;
            theta.narrow(0, at - n, n)
        };
        let layer = |(fan_in, fan_out): (i64, i64)| Layer {
            weight: take(fan_in * fan_out).view([fan_in, fan_out]),
            bias: take(fan_out),
        };
        self.fans().map(layer).collect()
    }

    /// Begins with `incoming` weights from N(0, 1) into each unit, from units drawn with replacement, and zero
    /// everywhere else.
    ///
    /// Source: Martens 2010, section 5, "sparse initialization"; drawn with replacement as in the author's program.
    pub fn sparse(&self, incoming: i64, device: Device) -> Tensor {
        let theta = Tensor::zeros([self.n_params()], (Kind::Float, device));
        for (mut layer, (fan_in, fan_out)) in self.layers(&theta).into_iter().zip(self.fans()) {
            let shape = [incoming.min(fan_in), fan_out];
            let from = Tensor::randint(fan_in, shape, (Kind::Int64, device));
            let values = Tensor::randn(shape, (Kind::Float, device));
            let _ = layer.weight.scatter_(0, &from, &values);
        }
        theta
    }

    /// Begins with all weights from N(0, `std`²) and biases of zero.
    pub fn gaussian(&self, std: f64, device: Device) -> Tensor {
        let theta = Tensor::zeros([self.n_params()], (Kind::Float, device));
        for mut layer in self.layers(&theta) {
            let _ = layer.weight.normal_(0.0, std);
        }
        theta
    }

    /// The output for `xs: [N, in]` with what a backward pass needs.
    pub fn forward(&self, theta: &Tensor, xs: &Tensor) -> Pass {
        let mut inputs = vec![xs.shallow_clone()];
        let mut logits = Tensor::new();
        for (layer, units) in self.layers(theta).iter().zip(&self.units) {
            let xs = inputs.last().expect("the data are the first");
            logits = layer.bias.addmm(xs, &layer.weight); // [N, W]
            inputs.push(units.apply(&logits));
        }
        let output = inputs.pop().expect("a net has a layer");
        Pass { inputs, logits, output }
    }

    /// Mean loss over the cases, nats, and its gradient `[P]`. `targets: [N, out]` are grey levels or shares of classes.
    pub fn gradient(&self, theta: &Tensor, xs: &Tensor, targets: &Tensor) -> (f64, Tensor) {
        let pass = self.forward(theta, xs);
        let n = xs.size()[0] as f64;
        let loss = self.loss(&pass, targets);
        // The losses are the canonical ones of their units, so that this is the derivative.
        let delta = (&pass.output - targets) / n;
        (loss, self.backward(theta, &pass, delta, Layer::put_gradient))
    }

    /// Sum over the cases of the squared gradient of each case's loss, `[P]`.
    pub fn squared_gradients(&self, theta: &Tensor, pass: &Pass, targets: &Tensor) -> Tensor {
        let delta = &pass.output - targets;
        self.backward(theta, pass, delta, |part, xs, delta| {
            part.put_gradient(&xs.square(), &delta.square());
        })
    }

    /// The Gauss–Newton matrix of the mean loss times `v: [P]`: `Jᵀ H J v` with `J` the derivatives of the output
    /// units' inputs and `H` the loss's second derivatives there.
    ///
    /// `J v` comes from a forward pass of derivatives in the direction `v` (the R-operator), `Jᵀ` from a backward pass.
    ///
    /// Source: Schraudolph 2002, section 3; Martens 2010, section 4.2.
    pub fn gauss_newton(&self, theta: &Tensor, pass: &Pass, v: &Tensor) -> Tensor {
        let n = pass.output.size()[0] as f64;
        let (layers, directions) = (self.layers(theta), self.layers(v));
        let mut r_input: Option<Tensor> = None; // the data do not move with the parameters
        let mut r_logits = Tensor::new();
        for (i, (layer, direction)) in layers.iter().zip(&directions).enumerate() {
            r_logits = direction.bias.addmm(&pass.inputs[i], &direction.weight); // [N, W]
            if let Some(r_input) = r_input {
                r_logits += r_input.mm(&layer.weight);
            }
            r_input = pass.inputs.get(i + 1).map(|xs| self.units[i].through(&r_logits, xs));
        }
        let ys = &pass.output;
        let curved = match self.output_units() {
            Units::Softmax => ys * (&r_logits - (ys * &r_logits).sum_columns()),
            units => units.through(&r_logits, ys),
        };
        self.backward(theta, pass, curved / n, Layer::put_gradient)
    }

    /// Mean loss of a pass over its cases, nats.
    pub fn loss(&self, pass: &Pass, targets: &Tensor) -> f64 {
        let n = targets.size()[0] as f64;
        let sum = match self.output_units() {
            Units::Softmax => {
                -(targets * pass.logits.log_softmax(-1, None::<Kind>)).sum(Kind::Double)
            }
            _ => pass
                .logits
                .binary_cross_entropy_with_logits::<&Tensor>(targets, None, None, Reduction::None)
                .sum(Kind::Double),
        };
        sum.double_value(&[]) / n
    }

    /// Carries `delta: [N, out]`, a derivative by the output units' inputs, back through the layers; `put` fills a layer's
    /// part of the result with what it makes of its inputs and its units' deltas. `[P]`.
    fn backward(
        &self,
        theta: &Tensor,
        pass: &Pass,
        mut delta: Tensor,
        put: impl Fn(&mut Layer, &Tensor, &Tensor),
    ) -> Tensor {
        let found = theta.empty_like();
        let mut parts = self.layers(&found);
        for (i, layer) in self.layers(theta).iter().enumerate().rev() {
            let xs = &pass.inputs[i];
            put(&mut parts[i], xs, &delta);
            if i > 0 {
                delta = self.units[i - 1].through(&delta.mm(&layer.weight.tr()), xs);
            }
        }
        found
    }

    fn output_units(&self) -> Units {
        *self.units.last().expect("a net has a layer")
    }
}

impl Layer {
    /// Becomes the gradient of a layer with inputs `xs: [N, in]` and a derivative `delta: [N, out]` by what its units get.
    fn put_gradient(&mut self, xs: &Tensor, delta: &Tensor) {
        let _ = xs.tr().mm_out(&self.weight, delta);
        self.bias.copy_(&delta.sum_rows());
    }
}

impl Units {
    fn apply(self, logits: &Tensor) -> Tensor {
        match self {
            Self::Logistic => logits.sigmoid(),
            Self::Linear => logits.shallow_clone(),
            Self::Softmax => logits.softmax(-1, None::<Kind>),
        }
    }

    /// `change` times the derivative of units whose output is `ys`.
    fn through(self, change: &Tensor, ys: &Tensor) -> Tensor {
        match self {
            Self::Linear => change.shallow_clone(),
            Self::Logistic => Tensor::sigmoid_backward(change, ys),
            Self::Softmax => unreachable!("only the output is a softmax"),
        }
    }
}

/// `xs += by·ys`, with no tensor in between.
pub(crate) fn add_scaled(xs: &mut Tensor, by: f64, ys: &Tensor) {
    let _ = xs.addcmul_(ys, &Tensor::full([0_i64; 0], by, (ys.kind(), ys.device())));
}

/// The sums that the formulas above are full of.
trait Matrix {
    fn sum_rows(&self) -> Tensor;
    fn sum_columns(&self) -> Tensor;
}

impl Matrix for Tensor {
    /// `[N, W]` to `[W]`.
    fn sum_rows(&self) -> Tensor {
        self.sum_dim_intlist(0, false, None::<Kind>)
    }

    /// `[N, W]` to `[N, 1]`.
    fn sum_columns(&self) -> Tensor {
        self.sum_dim_intlist(-1, true, None::<Kind>)
    }
}
