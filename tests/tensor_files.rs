//! Files of tensors: what PyTorch, `NumPy` and safetensors wrote is read as it was, what is broken or made to do harm is refused
//! with a sentence that names the file, and nothing in a file is run.

#[path = "common/tensor_files.rs"]
mod files;

use std::collections::BTreeMap;
use std::fs;

use files::{Folder, call, cat, golden, int, list_of, load, program, refused, tensor, text, torch_file, write_torch};
use n2n_gpu::data::array::{Array, DType, load_safetensors};
use n2n_gpu::data::dataset::{self, PairSet};
use n2n_gpu::data::torch::{self, Value};
use n2n_gpu::nets::Model;
use n2n_gpu::ops::Pixels;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

fn expected() -> BTreeMap<String, Array> {
    load_safetensors(&golden("expected.safetensors")).unwrap().into_iter().collect()
}

/// Tensors by path, as `make_files.py` names them.
fn leaves(value: &Value, path: &str, into: &mut BTreeMap<String, Array>) {
    let join = |key: &str| if path.contains('/') { format!("{path}.{key}") } else { format!("{path}/{key}") };
    match value {
        Value::Tensor(array) => assert!(into.insert(path.to_owned(), array.clone()).is_none()),
        Value::List(values) | Value::Tuple(values) => {
            values.iter().enumerate().for_each(|(i, value)| leaves(value, &join(&i.to_string()), into));
        }
        Value::Dict(entries) => entries.iter().for_each(|(key, value)| leaves(value, &join(key), into)),
        _ => {}
    }
}

#[test]
fn tensors_are_what_their_libraries_wrote() {
    let (float, expected): (BTreeMap<_, _>, BTreeMap<_, _>) = expected().into_iter().partition(|(k, _)| k.starts_with("float/"));
    let mut found = BTreeMap::new();
    let names: std::collections::BTreeSet<&str> = expected.keys().map(|path| path.split('/').next().unwrap()).collect();
    for name in &names {
        leaves(&load(&golden(name)).unwrap(), name, &mut found);
    }
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (path, array) in &expected {
        assert!(&found[path] == array, "{path}: {:?} instead of {array:?}, or other values", found[path]);
        assert_eq!(found[path].to_f32(), float[&format!("float/{path}")].to_f32(), "{path}");
    }
    let types: std::collections::HashSet<DType> = expected.values().map(Array::dtype).collect();
    assert!(names.len() == 17 && types.len() == 10, "{names:?} {types:?}");
}

#[test]
fn plain_values_are_kept() {
    let nested = torch::load(&golden("nested.pth")).unwrap();
    let ints = |values: &[i64]| Value::Tuple(values.iter().map(|v| Value::Int(*v)).collect());
    for (key, value) in [
        ("epoch", Value::Int(3)),
        ("steps", Value::Int(5_000_000_000)),
        ("debt", Value::Int(-70_000)),
        ("loss", Value::Float(0.25)),
        ("best", Value::Bool(true)),
        ("name", Value::Text("naïve".into())),
        ("scheduler", Value::None),
        ("dtype", Value::Text("float16".into())),
        ("size", ints(&[1, 2, 3])),
    ] {
        assert_eq!(nested.get(key), Some(&value), "{key}");
    }
    assert!(matches!(nested.get("state_dict").and_then(|s| s.get("conv.weight")), Some(Value::Tensor(_))));
    assert!(nested.get("state").is_some_and(|state| state.get("0").is_some() && state.get("300").is_some()));
    assert_eq!(nested.get("missing"), None);
}

#[test]
fn old_protocols_are_read() {
    let code = b"(lp0\nI01\naI00\naI-3\naL70000000000L\naF0.5\naVtext\nag0\na(dVa\nI1\nsa.";
    let folder = Folder::new();
    let path = write_torch(&folder, "text.pt", code, &[]);
    refused(torch::load(&path), &path, &["nested"]); // the list is in itself
    let code = b"(lp0\nI01\naI00\naI-3\naL70000000000L\naF0.5\naVtext\na(dVa\nI1\nsa.";
    let entry = Value::Dict(vec![("a".into(), Value::Int(1))]);
    let list = vec![
        Value::Bool(true),
        Value::Bool(false),
        Value::Int(-3),
        Value::Int(70_000_000_000),
        Value::Float(0.5),
        Value::Text("text".into()),
        entry,
    ];
    assert_eq!(torch::load(&write_torch(&folder, "text.pt", code, &[])).unwrap(), Value::List(list));
}

/// `(N, H, W, 3)` of the expected array.
fn pictures(array: &Array) -> Pixels {
    let (shape, data) = (array.shape(), array.data());
    let (channels, pixels) = match *shape {
        [_, 3, h, w] => (3, h * w),
        _ => return Pixels::Bytes(data.to_vec()),
    };
    let channel = |n: usize, i: usize, c: usize| data[(n * channels + c) * pixels + i];
    Pixels::Bytes((0..shape[0]).flat_map(|n| (0..pixels).flat_map(move |i| [0, 1, 2].map(|c| channel(n, i, c)))).collect())
}

fn bytes(pixels: &Pixels) -> &[u8] {
    let Pixels::Bytes(bytes) = pixels else { panic!("not of bytes: {pixels:?}") };
    bytes
}

#[test]
fn pairs_are_read_from_every_kind_of_file() {
    let expected = expected();
    for (name, count, a, b) in [
        ("pairs.pkl", 5, "0", "1"),
        ("dict.pt", 3, "noisy", "clean"),
        ("grey.pt", 3, "0", "1"),
        ("pairs.npz", 3, "x", "y"),
        ("packed.npz", 3, "x", "y"),
        ("tensors.safetensors", 3, "input", "target"),
    ] {
        let set = dataset::load(&golden(name)).unwrap();
        assert_eq!((set.width, set.height, set.count), (6, 4, count), "{name}");
        assert!(set.a == pictures(&expected[&format!("{name}/{a}")]), "{name}: first pictures");
        assert!(set.b == pictures(&expected[&format!("{name}/{b}")]), "{name}: second pictures");
    }
    let set = dataset::load(&golden("both.npy")).unwrap();
    assert_eq!((set.width, set.height, set.count), (6, 4, 3));
    assert_eq!([bytes(&set.a), bytes(&set.b)].concat(), expected["both.npy"].data());
}

fn no_pairs(folder: &Folder, body: &[u8], storage: &[u8], says: &[&str]) {
    let path = write_torch(folder, "pairs.pkl", body, &[("0", storage)]);
    refused(dataset::load(&path), &path, says);
}

#[test]
fn what_is_no_set_of_pairs_is_refused() {
    let folder = Folder::new();
    let storage: Vec<u8> = (0..=255).collect();
    let u8s = |shape: &[i32], offset| tensor("Byte", "0", 256, offset, shape);
    let two = |a: &[u8], b: &[u8]| program(&cat(&[a, b, b"\x86"]));
    let good = u8s(&[2, 3, 4, 5], 0);
    let set: PairSet =
        dataset::load(&write_torch(&folder, "pairs.pkl", &two(&good, &u8s(&[2, 3, 4, 5], 1)), &[("0", &storage)])).unwrap();
    assert_eq!((set.width, set.height, set.count, &bytes(&set.b)[..3]), (5, 4, 2, &[1, 21, 41][..]));
    no_pairs(&folder, &two(&good, &good), &storage, &["the same pictures twice"]);
    no_pairs(&folder, &two(&good, &u8s(&[1, 3, 4, 5], 0)), &storage, &["2 first pictures but 1 second"]);
    no_pairs(&folder, &two(&good, &u8s(&[2, 3, 5, 4], 0)), &storage, &["5x4", "4x5"]);
    no_pairs(&folder, &two(&u8s(&[0, 3, 4, 5], 0), &u8s(&[0, 3, 4, 5], 0)), &storage, &["no pictures"]);
    no_pairs(&folder, &two(&good, &u8s(&[2, 4, 4, 5], 0)), &storage, &["[2, 4, 4, 5]", "(N, 3, H, W)"]);
    no_pairs(&folder, &two(&good, &u8s(&[40], 0)), &storage, &["[40]", "(N, 3, H, W)"]);
    no_pairs(&folder, &two(&good, &tensor("Float", "0", 64, 0, &[1, 3, 4, 5])), &storage, &["uint8", "float32", "one type"]);
    no_pairs(&folder, &two(&good, &int(1)), &storage, &["entry 1 is an integer"]);
    no_pairs(&folder, &program(&u8s(&[1, 3, 4, 5], 0)), &storage, &["[1, 3, 4, 5]", "two arrays"]);
    no_pairs(&folder, &program(&int(1)), &storage, &["an integer"]);
    no_pairs(&folder, &program(&cat(&[&good, &good, &good, b"\x87"])), &storage, &["3 entries"]);
    no_pairs(&folder, &program(b")"), &storage, &["is empty"]);
    let path = folder.write("pairs.csv", b"1,2");
    refused(dataset::load(&path), &path, &[".pkl", ".npz", ".safetensors"]);
    refused(dataset::load(&golden("c.npy")), &golden("c.npy"), &["shape"]);
}

#[test]
fn nothing_in_a_file_is_run() {
    let folder = Folder::new();
    let proof = folder.path("proof");
    let command = format!("touch {}", proof.display());
    for (module, name) in [("os", "system"), ("posix", "system"), ("builtins", "eval"), ("torch", "load"), ("torch._utils", "x")]
    {
        let named = format!("`{module}.{name}`");
        let old = format!("c{module}\n{name}\n");
        let new = cat(&[&text(module), &text(name), b"\x93"]);
        for global in [old.as_bytes(), &new] {
            let path = write_torch(&folder, "evil.pth", &program(&call(global, &text(&command))), &[]);
            refused(torch::load(&path), &path, &[&named, "only tensors are read"]);
        }
    }
    let path = write_torch(&folder, "evil.pth", &program(b"cos\n\x1b[31m\xc3\xa9\n"), &[]);
    assert!(!refused(torch::load(&path), &path, &["only tensors"]).contains('\x1b'));
    // Opcodes that make objects of classes by other ways than a call.
    for op in [&b"(ios\nsystem\n"[..], b"(o", b")\x81", b"\x82\x01", b"P0\n"] {
        let path = write_torch(&folder, "evil.pth", &program(op), &[]);
        refused(torch::load(&path), &path, &["opcode"]);
    }
    assert!(!proof.exists());
}

#[test]
fn tensors_outside_of_their_storage_are_refused() {
    let folder = Folder::new();
    let view = |len, offset, shape: &[i32], strides: &[i32]| files::view("Float", "0", len, offset, shape, strides);
    for (body, says) in [
        (view(4, 0, &[2, 2], &[3, 1]), "outside of its storage"),
        (view(4, 1, &[4], &[1]), "outside of its storage"),
        (view(4, 0, &[5], &[1]), "outside of its storage"),
        (view(4, 0, &[2], &[i32::MAX]), "outside of its storage"),
        (view(4, 3, &[2], &[-1]), "negative"),
        (view(4, -1, &[2], &[1]), "negative"),
        (view(4, 0, &[2, 2], &[1]), "dimensions"),
        (view(4, 0, &[i32::MAX; 3], &[0; 3]), "far more memory"),
        (view(4, 0, &[1 << 20, 100], &[0; 2]), "far more memory"),
        (view(5, 0, &[5], &[1]), "5 values, but 16 bytes"),
        (tensor("Double", "0", 4, 0, &[4]), "4 values, but 16 bytes"),
        (tensor("Float", "1", 4, 0, &[4]), "`archive/data/1` is missing"),
        (tensor("Float", "../data.pkl", 4, 0, &[4]), "is missing"),
    ] {
        let body = cat(&[b"}", &text("conv.w"), &body, b"s"]);
        let path = write_torch(&folder, "bad.pth", &program(&body), &[("0", &[0; 16])]);
        refused(torch::load(&path), &path, &["conv.w", says]);
    }
    // The same storage, said to be longer by a second tensor.
    let both = cat(&[&view(4, 1, &[2], &[1]), &view(9, 7, &[2], &[1]), b"\x86"]);
    let path = write_torch(&folder, "bad.pth", &program(&both), &[("0", &[0; 16])]);
    refused(torch::load(&path), &path, &["differs"]);
}

#[test]
fn pickles_that_grow_are_refused() {
    let folder = Folder::new();
    let deep = cat(&[&b"]".repeat(1_000_000), &b"a".repeat(999_999)]);
    let tuples = cat(&[b")", &b"\x85".repeat(1_000_000)]);
    // Each list holds the one before five times.
    let laughs = cat(&[b"]", &laughs(30)]);
    let itself = b"]q\x00h\x00a".to_vec();
    let many = b"N0".repeat(3_000_000);
    let long = cat(&[&text(&"x".repeat(1 << 20)), b"q\x00]", &list_of(&b"h\x00".repeat(100))]);
    for (body, says) in [
        (deep, "deeply"),
        (tuples, "deeply"),
        (laughs, "too long"),
        (itself, "deeply"),
        (many, "too many"),
        (long, "too much text"),
    ] {
        let path = write_torch(&folder, "grows.pth", &program(&body), &[]);
        refused(torch::load(&path), &path, &[says]);
    }
    let path = write_torch(&folder, "grows.pth", &program(&b"N0".repeat(20 << 20)), &[]);
    refused(torch::load(&path), &path, &["pickle of 40 MiB"]);
}

fn laughs(times: usize) -> Vec<u8> {
    cat(&[b"q\x000", &b"](h\x00h\x00h\x00h\x00h\x00eq\x000".repeat(times), b"h\x00"])
}

#[test]
fn archives_that_grow_are_refused() {
    let folder = Folder::new();
    // 40 MiB of zeros in 40 KiB, said to be four values; then 200 MiB, as many as are said.
    for (len, mib, says) in [(4, 40, "but 41943040 bytes"), (50 << 20, 200, "far more memory")] {
        let body = program(&tensor("Float", "0", len, 0, &[len]));
        let path = folder.write("bomb.pth", &torch_file(&body, &[("0", &vec![0; mib << 20])], true));
        assert!(fs::metadata(&path).unwrap().len() < 1 << 20);
        refused(torch::load(&path), &path, &[says]);
    }
    // The same as .npz: an array of four bytes with 40 MiB of zeros behind it, and one of 200 MiB, as many as are said.
    for (len, mib, says) in [(4, 40, "not what uint8 [4] takes"), (200 << 20, 200, "far more memory")] {
        let array = files::npy("|u1", &format!("({len},)"), &vec![0; mib << 20]);
        let path = folder.write("bomb.npz", &files::zip(&[("x.npy", &array)], true));
        assert!(fs::metadata(&path).unwrap().len() < 1 << 20);
        refused(load(&path), &path, &[says]);
    }
    // Sizes that are lies, in the central directory.
    let body = program(&tensor("Float", "0", 4, 0, &[4]));
    for (packed, len) in [(false, 17), (true, 17), (false, u32::MAX - 1), (true, u32::MAX - 1), (false, 15), (true, 15)] {
        let mut bytes = torch_file(&body, &[("0", &[1; 16])], packed);
        files::claim(&mut bytes, "archive/data/0", len);
        let path = folder.write("lie.pth", &bytes);
        refused(torch::load(&path), &path, &["holds"]);
    }
}

#[test]
fn files_cut_short_are_refused() {
    let folder = Folder::new();
    for name in ["pairs.pkl", "pairs.npz", "packed.npz", "c.npy", "tensors.safetensors", "state.pth"] {
        let whole = fs::read(golden(name)).unwrap();
        let path = folder.path(name);
        for len in (0..whole.len()).step_by(7).chain([whole.len() - 1]) {
            fs::write(&path, &whole[..len]).unwrap();
            refused(load(&path), &path, &[]);
        }
        fs::write(&path, &whole[..whole.len() * 3 / 4]).unwrap();
        refused(load(&path), &path, &["copy or export it again"]);
    }
}

#[test]
fn other_files_are_named_for_what_they_are() {
    let folder = Folder::new();
    folder.write("empty.pth", b"");
    folder.write("text.pth", b"not a tensor\n");
    folder.write("plain.pkl", b"\x80\x04]\x94.");
    folder.write("text.npy", b"not an array\n");
    folder.write("zip.pth", &files::zip(&[("notes.txt", b"hello")], false));
    folder.write("zip.npz", &files::zip(&[("notes.txt", b"hello")], false));
    folder.write("order.pth", &files::zip(&[("x/data.pkl", b"N."), ("x/byteorder", b"big")], false));
    folder.write("protocol.pth", &torch_file(b"\x80\x06N.", &[], false));
    fs::create_dir(folder.path("folder.pth")).unwrap();
    for (name, says) in [
        ("empty.pth", "is empty"),
        ("text.pth", "no file of torch.save"),
        ("plain.pkl", "is a pickle, but not one of torch.save"),
        ("text.npy", "no file of numpy.save"),
        ("zip.pth", "none of torch.save"),
        ("zip.npz", "notes.txt"),
        ("order.pth", "big-endian"),
        ("protocol.pth", "protocol"),
        ("folder.pth", "is a folder"),
        ("missing.pth", "does not exist"),
    ] {
        refused(load(&folder.path(name)), &folder.path(name), &[says]);
    }
    for (name, says) in [
        ("old_format.pth", "PyTorch's old format: save it again with torch.save(..) of PyTorch 1.6 or later"),
        ("complex.pth", "torch.ComplexFloatStorage"),
        ("script.pt", "TorchScript"),
        ("objects.npy", "Python objects"),
    ] {
        refused(load(&golden(name)), &golden(name), &[says]);
    }
}

#[cfg(unix)]
#[test]
fn a_model_is_an_ordinary_file() {
    let device = std::path::Path::new("/dev/null");
    refused(Model::load(device), device, &["not an ordinary file"]);
}

#[test]
fn names_in_files_command_no_terminal() {
    let folder = Folder::new();
    let name = "a\u{1b}[2J\u{9b}b";
    let header = format!(r#"{{"{}":{{"dtype":"C64","shape":[1],"data_offsets":[0,8]}}}}"#, "a\\u001b[2J\\u009bb");
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 8]].concat();
    let pickle = cat(&[b"}(", &text(name), &int(1), b"u"]);
    let array = files::npy("|c\u{1b}", "(1,)", &[0]);
    for (file, bytes) in [
        ("a.safetensors", bytes),
        ("a.npz", files::zip(&[(name, b"")], false)),
        ("a.npy", array),
        ("a.pth", torch_file(&program(&pickle), &[], false)),
    ] {
        let path = folder.write(file, &bytes);
        let message = refused(dataset::load(&path), &path, &["\\u{1b}"]);
        assert!(!message.chars().any(char::is_control), "{message:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    /// Changed and cut files are read or refused; the checksums of an archive are left out by changing what is in it.
    #[test]
    fn broken_files_never_panic(
        file in 0..FUZZED.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        end in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let folder = Folder::new();
        let mut bytes = fs::read(golden(FUZZED[file])).unwrap();
        for (at, value) in &changes {
            *at.get_mut(&mut bytes) = *value;
        }
        if let Some(end) = end {
            bytes.truncate(end.index(bytes.len()));
        }
        let path = folder.write(FUZZED[file], &bytes);
        drop(load(&path));
        drop(dataset::load(&path));
        let mut inner = files::unzip(&fs::read(golden(FUZZED[file])).unwrap());
        for (at, value) in &changes {
            let entry = inner.iter_mut().find(|(name, _)| name.ends_with("data.pkl") || name.ends_with("x.npy"));
            if let Some((_, bytes)) = entry {
                *at.get_mut(bytes) = *value;
            }
        }
        let inner: Vec<(&str, &[u8])> = inner.iter().map(|(name, bytes)| (name.as_str(), &bytes[..])).collect();
        let path = folder.write(FUZZED[file], &files::zip(&inner, false));
        drop(load(&path));
        drop(dataset::load(&path));
    }
}

const FUZZED: [&str; 11] = [
    "pairs.pkl",
    "state.pth",
    "views.pth",
    "types.pth",
    "nested.pth",
    "pairs.npz",
    "packed.npz",
    "tensors.safetensors",
    "fortran.npy",
    "big_endian.npy",
    "both.npy",
];
