//! Blocks that are computed again for the gradient.

use common::nn::probe::Probe;
use common::nn::transformer::parts::tied_loss;
use common::nn::transformer::{NormPlace, Transformer, TransformerConfig};
use common::shim::Autocast;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

#[test]
fn blocks_that_are_computed_again_give_the_same_gradients() {
    for (norm, bias, autocast) in [
        (NormPlace::Post, true, None),
        (NormPlace::Post, true, Some(Kind::BFloat16)),
        (NormPlace::Pre, false, None),
    ] {
        let config = TransformerConfig {
            vocab: 11,
            context: 9,
            n_layers: 3,
            n_heads: 2,
            d_model: 8,
            norm,
            bias,
            residual_dropout: 0.2,
            embedding_dropout: 0.2,
            attention_dropout: 0.2,
            init_std: 0.3,
        };
        let vs = VarStore::new(Device::Cpu);
        let mut model = Transformer::new(&vs.root(), &config);
        let ids = Tensor::randint(11, [3, 9], (Kind::Int64, Device::Cpu));
        let mut gradients = |recompute: bool| -> Vec<(String, Tensor)> {
            model.set_recompute(recompute);
            vs.variables().values_mut().for_each(Tensor::zero_grad);
            tch::manual_seed(5);
            let loss = {
                let _autocast = Autocast::new(Device::Cpu, autocast);
                tied_loss(
                    &model.forward(&ids, true, &Probe::off()).flatten(0, 1),
                    model.tokens(),
                    &ids.flatten(0, 1),
                    None,
                )
            };
            loss.backward();
            // What is drawn afterwards is the same too.
            let after = Tensor::rand([1], (Kind::Float, Device::Cpu));
            let all = vs.variables().into_iter().map(|(name, x)| (name, x.grad().copy()));
            all.chain([("loss".into(), loss.detach()), ("a random number".into(), after)]).collect()
        };
        let (kept, mut again) = (gradients(false), gradients(true));
        for (name, wanted) in kept {
            let place = again.iter().position(|(other, _)| *other == name);
            let (_, found) = again.swap_remove(place.expect("the same variables"));
            assert!(found == wanted, "{norm:?}, {autocast:?}: {name} differs");
        }
    }
}
