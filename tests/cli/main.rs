//! The program as a user runs it: what each command makes, says and refuses.

#[path = "../common/cli.rs"]
mod cli;
#[path = "../common/tensor_files.rs"]
mod files;
#[path = "../common/supplies.rs"]
mod supplies;
#[path = "../common/tiff.rs"]
mod tiff_files;
#[path = "../../examples/tracer/mod.rs"]
mod tracer;

mod around_training;
mod bursts;
mod compare;
mod denoise;
mod errors;
mod export;
mod formats;
mod inspect;
mod left_out;
mod many_files;
mod measured;
mod memory;
mod messages;
mod models_in_the_box;
mod noise;
mod nothing_lost;
mod output;
mod pipes;
mod places;
mod rates;
mod renders;
mod replaces;
mod runs;
mod shell;
mod supply;
mod team;
mod train;
mod web;
