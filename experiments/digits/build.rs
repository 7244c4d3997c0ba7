include!("../../common/build_info.rs");
