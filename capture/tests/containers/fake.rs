//! An engine that answers what a real one did, byte for byte.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// A recorded answer.
pub fn answer(name: &str) -> Vec<u8> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/containers/answers");
    std::fs::read(dir.join(name)).unwrap()
}

/// The id in a recorded answer about a container.
pub fn id_in(answer: &[u8]) -> String {
    let text = std::str::from_utf8(answer).unwrap();
    text.split_once("\"Id\":\"").unwrap().1[..64].to_owned()
}

/// Serves answers by target at `root` + `socket`, all else with `missing`, until the test ends. Gives the targets that
/// were asked for.
pub fn serve(
    root: &Path,
    socket: &str,
    answers: BTreeMap<String, Vec<u8>>,
    missing: Vec<u8>,
) -> Arc<Mutex<Vec<String>>> {
    let path = root.join(socket);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let listener = UnixListener::bind(&path).unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            let first = lines.next().unwrap_or_default();
            lines.take_while(|line| !line.is_empty()).for_each(drop);
            let target = first.strip_prefix("GET ").and_then(|t| t.strip_suffix(" HTTP/1.1")).expect(&first).to_owned();
            let _ = stream.write_all(answers.get(&target).unwrap_or(&missing));
            log.lock().unwrap().push(target);
        }
    });
    asked
}
