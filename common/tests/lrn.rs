//! Local response normalisation against published values, PyTorch (`oracle/lrn.py`), finite
//! differences and its own plain form, in every layout, precision and instruction set.

use std::process::Command;

use common::nn::channels_last;
use common::nn::lrn::{AlphaForm, Region, ResponseNorm};
use common::shim::Autocast;
use serde::Deserialize;
use tch::{Device, Kind, Tensor};

const ACROSS: ResponseNorm = ResponseNorm { alpha: 0.3, ..ResponseNorm::PAPER };
const WITHIN: ResponseNorm = ResponseNorm { region: Region::WithinMap, size: 3, ..ACROSS };

fn randn(shape: &[i64], kind: Kind) -> Tensor {
    tch::manual_seed(1);
    Tensor::randn(shape, (Kind::Double, Device::Cpu)).to_kind(kind)
}

/// `forward(xs)`, and the gradient of the sum of its product with `dys`.
fn with_gradient(
    forward: impl Fn(&Tensor) -> Tensor,
    xs: &Tensor,
    dys: &Tensor,
) -> (Tensor, Tensor) {
    let xs = xs.detach().set_requires_grad(true);
    let ys = forward(&xs);
    (&ys * dys).sum(Kind::Double).backward();
    (ys.detach(), xs.grad())
}

fn apart(a: &Tensor, b: &Tensor) -> f64 {
    (a.to_kind(Kind::Double) - b.to_kind(Kind::Double)).abs().max().double_value(&[])
}

fn bytes(xs: &Tensor) -> Vec<u8> {
    let xs = xs.contiguous();
    let mut out = vec![0; xs.numel() * xs.kind().elt_size_in_bytes()];
    xs.copy_data_u8(&mut out, xs.numel());
    out
}

#[test]
fn a_map_of_ones_comes_out_as_computed_by_hand() {
    // 5, 4 and 3 maps in reach: (2 + 5e-4)^-0.75 and so on, to ten digits.
    let sum = [0.594_492_093_7, 0.594_514_382_6, 0.594_536_673_4];
    let mean = [0.594_581_260_8, 0.594_585_720_0, 0.594_590_179_3];
    let xs = Tensor::ones([1, 6, 3, 3], (Kind::Double, Device::Cpu));
    for (alpha_form, [five, four, three]) in [(AlphaForm::Sum, sum), (AlphaForm::Mean, mean)] {
        let norm = ResponseNorm { alpha_form, ..ResponseNorm::PAPER };
        for ys in [norm.forward(&xs), norm.composed(&xs)] {
            for (map, wanted) in [three, four, five, five, four, three].into_iter().enumerate() {
                let found = ys.double_value(&[0, map as i64, 1, 2]);
                assert!((found - wanted).abs() < 1e-10, "{alpha_form:?}, map {map}: {found}");
            }
        }
    }
    // Within a map: 9 pixels in reach, at an edge 6, in a corner 4; the divisor stays 9.
    let within = ResponseNorm { alpha: 0.9, alpha_form: AlphaForm::Mean, ..WITHIN };
    let ys = within.forward(&xs);
    for (pixel, reach) in [([1, 1], 9.0), ([0, 1], 6.0), ([1, 2], 6.0), ([2, 2], 4.0)] {
        let found = ys.double_value(&[0, 3, pixel[0], pixel[1]]);
        let wanted = (2.0_f64 + 0.1 * reach).powf(-0.75);
        assert!((found - wanted).abs() < 1e-12, "{pixel:?}: {found}, wanted {wanted}");
    }
}

#[derive(Deserialize)]
struct Fixture {
    shape: Vec<i64>,
    xs: Vec<f64>,
    dys: Vec<f64>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    norm: ResponseNorm,
    ys: Vec<f64>,
    dxs: Vec<f64>,
}

#[test]
fn values_and_gradients_are_those_of_pytorch() {
    let fixture: Fixture =
        serde_json::from_str(include_str!("fixtures/lrn.json")).expect("the script's format");
    let tensor = |values: &[f64]| Tensor::from_slice(values).reshape(&fixture.shape);
    let (xs, dys) = (tensor(&fixture.xs), tensor(&fixture.dys));
    for case in &fixture.cases {
        // The file has ten digits; fp32 has seven; numbers are up to 4.
        for (kind, tolerance) in [(Kind::Double, 1e-8), (Kind::Float, 2e-6)] {
            for xs in [xs.to_kind(kind), channels_last(&xs.to_kind(kind))] {
                let (ys, dxs) = with_gradient(|xs| case.norm.forward(xs), &xs, &dys.to_kind(kind));
                let off = [apart(&ys, &tensor(&case.ys)), apart(&dxs, &tensor(&case.dxs))];
                assert!(
                    off.iter().all(|&off| off < tolerance),
                    "{:?}, {kind:?}: {off:?}",
                    case.norm
                );
            }
        }
    }
}

#[test]
fn the_gradient_is_that_of_finite_differences() {
    let step = 1e-5;
    for norm in [ACROSS, WITHIN, ResponseNorm { beta: 0.6, size: 7, ..ACROSS }] {
        let xs = randn(&[2, 5, 3, 4], Kind::Double);
        let dys = randn(&[2, 5, 3, 4], Kind::Double) + 0.5;
        let (_, dxs) = with_gradient(|xs| norm.forward(xs), &xs, &dys);
        let loss = |xs: &Tensor| (norm.forward(xs) * &dys).sum(Kind::Double).double_value(&[]);
        for i in 0..xs.numel() as i64 {
            let nudge = Tensor::zeros([120], (Kind::Double, Device::Cpu));
            let _ = nudge.get(i).fill_(step);
            let nudge = nudge.reshape([2, 5, 3, 4]);
            let wanted = (loss(&(&xs + &nudge)) - loss(&(&xs - &nudge))) / (2.0 * step);
            let found = dxs.reshape([120]).double_value(&[i]);
            // The error of the difference: step² times a third derivative, and the loss's rounding over step.
            assert!((found - wanted).abs() < 1e-8, "{norm:?}, {i}: {found}, wanted {wanted}");
        }
    }
}

/// Shapes with tails of every vector width, rows and columns that differ, one map, one pixel, more
/// than one run of pixels, and more than one task for each thread.
const SHAPES: [[i64; 4]; 7] = [
    [2, 7, 5, 6],
    [1, 1, 4, 3],
    [3, 40, 1, 1],
    [2, 35, 9, 13],
    [1, 3, 41, 37],
    [2, 96, 55, 55],
    [5, 64, 16, 16],
];

#[test]
fn the_fused_form_is_the_plain_one_in_every_layout_and_precision() {
    for norm in
        [ACROSS, WITHIN, ResponseNorm { size: 9, ..ACROSS }, ResponseNorm { size: 5, ..WITHIN }]
    {
        for shape in &SHAPES {
            // fp32: a few roundings of numbers up to 5. bf16: values are rounded once, to 8 bits.
            for (kind, tolerance) in [(Kind::Float, 4e-6), (Kind::BFloat16, 2e-2)] {
                let (xs, dys) = (randn(shape, kind), randn(shape, kind) * 0.7);
                let (ys, dxs) = with_gradient(|xs| norm.composed(xs), &xs, &dys);
                for xs in [xs.shallow_clone(), channels_last(&xs)] {
                    let (fused, gradient) = with_gradient(|xs| norm.forward(xs), &xs, &dys);
                    assert_eq!(fused.kind(), kind);
                    assert_eq!(gradient.kind(), kind);
                    assert_eq!(fused.stride(), xs.stride(), "{shape:?}");
                    let off = [apart(&fused, &ys), apart(&gradient, &dxs)];
                    let fits = off.iter().all(|&off| off < tolerance);
                    assert!(
                        fits,
                        "{norm:?}, {shape:?}, {kind:?}, strides {:?}: {off:?}",
                        xs.stride()
                    );
                }
            }
        }
    }
}

#[test]
fn a_window_of_one_and_one_wider_than_the_maps_are_the_plain_form() {
    let xs = randn(&[2, 4, 3, 5], Kind::Float);
    for (region, size) in
        [(Region::AcrossMaps, 1), (Region::AcrossMaps, 21), (Region::WithinMap, 1)]
    {
        let norm = ResponseNorm { region, size, ..ACROSS };
        for xs in [xs.shallow_clone(), channels_last(&xs)] {
            assert!(apart(&norm.forward(&xs), &norm.composed(&xs)) < 1e-6, "{norm:?}");
        }
    }
    // The plain form's pooling takes no window this wide: every pixel sees the whole map.
    let norm = ResponseNorm { size: 21, ..WITHIN };
    let all = xs.square().sum_dim_intlist([2, 3].as_slice(), true, Kind::Float) * 0.3 + 2.0;
    let wanted = &xs / all.pow_tensor_scalar(0.75);
    for xs in [xs.shallow_clone(), channels_last(&xs)] {
        assert!(apart(&norm.forward(&xs), &wanted) < 1e-6);
    }
}

#[test]
fn maps_that_are_a_view_of_others_come_out_right() {
    let all = randn(&[4, 12, 6, 8], Kind::Float);
    let every_other = all.slice(1, 1, 12, 2).slice(3, 0, 8, 2);
    let transposed = all.transpose(0, 3);
    for norm in [ACROSS, WITHIN] {
        for xs in [&every_other, &transposed] {
            let (ys, dxs) = with_gradient(|xs| norm.forward(xs), xs, &xs.ones_like());
            let (plain, gradient) = with_gradient(|xs| norm.composed(xs), xs, &xs.ones_like());
            assert!(apart(&ys, &plain) < 4e-6 && apart(&dxs, &gradient) < 4e-6, "{norm:?}");
        }
    }
    let none = Tensor::zeros([0, 3, 4, 4], (Kind::Float, Device::Cpu));
    assert_eq!(ACROSS.forward(&none).size(), [0, 3, 4, 4]);
}

#[test]
fn under_autocast_each_precision_stays_as_it_came() {
    let _autocast = Autocast::new(Device::Cpu, Some(Kind::BFloat16));
    for kind in [Kind::Float, Kind::BFloat16] {
        let xs = randn(&[2, 8, 4, 4], kind);
        for norm in [ACROSS, WITHIN] {
            assert_eq!(norm.forward(&xs).kind(), kind);
            assert_eq!(norm.composed(&xs).kind(), kind);
        }
    }
}

/// Outputs and gradients of all regions, layouts and precisions, bit by bit, as one number.
fn digest() -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64; // FNV-1a
    for norm in [ACROSS, WITHIN] {
        for kind in [Kind::Float, Kind::BFloat16] {
            let xs = randn(&[3, 35, 30, 29], kind);
            for xs in [xs.shallow_clone(), channels_last(&xs)] {
                let (ys, dxs) = with_gradient(|xs| norm.forward(xs), &xs, &(&xs * 0.3));
                for byte in [ys, dxs].iter().flat_map(bytes) {
                    hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
                }
            }
        }
    }
    hash
}

#[test]
fn one_thread_and_several_give_the_same_bits() {
    let bits = [1, 2, 3].map(|threads| {
        tch::set_num_threads(threads);
        digest()
    });
    assert_eq!(bits[0], bits[1]);
    assert_eq!(bits[0], bits[2]);
}

#[test]
fn every_instruction_set_gives_the_same_bits() {
    const CHILD: &str = "LRN_TEST_CHILD";
    if std::env::var_os(CHILD).is_some() {
        eprintln!("digest {}", digest());
        return;
    }
    let program = std::env::current_exe().unwrap();
    let wanted = format!("digest {}", digest());
    for capability in ["default", "avx2"] {
        let child = Command::new(&program)
            .args(["--exact", "every_instruction_set_gives_the_same_bits", "--nocapture"])
            .envs([(CHILD, "1"), ("ATEN_CPU_CAPABILITY", capability)])
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&child.stderr).into_owned();
        assert!(printed.contains(&wanted), "{capability}: {printed}, wanted {wanted}");
    }
}

#[test]
fn presets_name_the_regions_and_forms_in_kebab_case() {
    let json = serde_json::to_value(ResponseNorm::PAPER).unwrap();
    let wanted = serde_json::json!({"region": "across-maps", "size": 5, "alpha": 1e-4, "beta": 0.75,
        "k": 2.0, "alpha_form": "sum"});
    assert_eq!(json, wanted);
    assert_eq!(serde_json::from_value::<ResponseNorm>(wanted).unwrap(), ResponseNorm::PAPER);
    assert_eq!(serde_json::to_value(WITHIN).unwrap()["region"], "within-map");
}

#[test]
#[should_panic(expected = "wanted [N, C, H, W]")]
fn a_tensor_of_other_dimensions_is_refused() {
    let _ = ACROSS.forward(&randn(&[3, 4], Kind::Float));
}
