//! Noise laws as they are written, and what their records say.

use n2n_gpu::error::Error;
use n2n_gpu::noise::{LAWS, Noise};

#[test]
fn a_noise_law_is_written_as_it_is_read_also_in_files() {
    for text in LAWS.iter().flat_map(|law| law.examples).chain(&["gaussian:12.5", "camera:0.5-8,1", "camera:3,2,0"]) {
        let noise: Noise = text.parse().unwrap();
        assert_eq!(noise.to_string(), *text);
        let json = serde_json::to_string(&noise).unwrap();
        assert_eq!((json.as_str(), serde_json::from_str::<Noise>(&json).unwrap()), (&*format!("\"{text}\""), noise));
    }
}

#[test]
fn what_is_no_law_is_refused_with_its_reason_once() {
    for (text, reason) in [
        ("nonsense:1", "there is no such noise law; write gaussian:25"),
        ("-5", "there is no such noise law"),
        ("", "there is no such noise law"),
        ("gaussian", "the standard deviation is missing: write gaussian:25 or gaussian:0-50"),
        ("gaussian:", "the standard deviation is missing"),
        ("gaussian:x", "x is not a number"),
        ("gaussian:nan", "nan is not a number"),
        ("gaussian:50-0", "the smaller one first"),
        ("gaussian:-3", "the standard deviation must be above 0 and up to 255, not -3"),
        ("gaussian:-3-5", "must not be below 0"),
        ("gaussian:0-300", "the standard deviation must be above 0 and up to 255, not 300"),
        ("gaussian:300", "not 300"),
        ("gaussian:0", "not 0"),
        ("gaussian:1,2,3", "takes 1 number, not 3: write gaussian:25 or gaussian:0-50"),
        ("poisson:0", "the mean count of white must be above 0 and up to 1000"),
        ("poisson:-1", "not -1"),
        ("poisson:5000", "not 5000"),
        ("poisson-gaussian:30", "takes 2 numbers, not 1: write poisson-gaussian:30,5"),
        ("poisson-gaussian:30,0", "the standard deviation must be"),
        ("poisson-gaussian:30,1-5", "1-5 is not a number"),
        ("bernoulli:0", "above 0 and below 1"),
        ("bernoulli:1", "above 0 and below 1"),
        ("impulse:1.5", "not 1.5"),
        ("impulse:", "is missing"),
        ("text:0.9", "above 0 and up to 0.8"),
        ("text:0", "not 0"),
        ("brown:25", "takes 2 numbers"),
        ("brown:25,0", "the blur must be from 0.1 to 10"),
        ("brown:25,11", "not 11"),
        ("camera", "the ISO / 100 is missing: write camera:4 or camera:0.5-8"),
        ("camera:0", "the ISO / 100 must be from 0.01 to 100, not 0"),
        ("camera:0-8", "must not be below 0.01"),
        ("camera:8-0.5", "the smaller one first"),
        ("camera:2,-1", "the read noise in electrons must be from 0 to 100, not -1"),
        ("camera:2,2,101", "the JPEG quality (100: 8 bits, 0: neither) must be a whole number from 0 to 100, not 101"),
        ("camera:1,2,3,4", "takes 1 to 3 numbers, not 4"),
        ("pixelate:1", "from 2 to 64"),
        ("pixelate:2.5", "the side of the cells must be a whole number from 2 to 64, not 2.5"),
        ("pixelate:1000", "not 1000"),
    ] {
        let message = text.parse::<Noise>().unwrap_err().to_string();
        assert!(message.contains(reason), "{text}: {message}");
        assert!(!message.contains("--noise") && (text.is_empty() || !message.starts_with(text)), "{text}: {message}");
    }
}

#[test]
fn a_message_of_the_library_says_which_text_is_meant() {
    let error = Error::from("gaussian:300".parse::<Noise>().unwrap_err());
    assert!(matches!(&error, Error::Option { option: "noise", .. }) && error.to_string().contains("gaussian:300: "), "{error}");
}

/// Of a law that hides pixels the known ones are right.
#[test]
fn laws_that_are_right_on_average_have_the_clean_value_as_their_mean() {
    for noise in LAWS.iter().flat_map(|law| law.examples).map(|text| text.parse::<Noise>().unwrap()) {
        let right = [0.1, 0.5, 0.8].iter().all(|&clean| noise.moments(clean).is_some_and(|m| (m.mean - clean).abs() < 1e-9));
        assert_eq!(noise.unbiased(), right || noise.masks(), "{noise}");
    }
}

#[test]
fn laws_have_names_of_their_own_and_a_line_of_help() {
    for (i, a) in LAWS.iter().enumerate() {
        // Beside the examples in a terminal of 100 columns.
        assert!((10..70).contains(&a.help.len()) && !a.examples.is_empty(), "{}", a.name);
        assert!(LAWS[..i].iter().all(|b| a.name != b.name), "{}", a.name);
        assert!(a.examples.iter().all(|text| text.starts_with(&format!("{}:", a.name))), "{}", a.name);
    }
}
