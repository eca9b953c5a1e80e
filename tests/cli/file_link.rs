//! `-o FILE` by symbolic links: whose are followed, wherever on the way they are.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, lchown, symlink},
    path::Path,
};

use tempfile::TempDir;

use crate::{
    circumstances::NOBODY,
    ended::{agent, end, run},
    file::{assert_refused, shared_folder},
};

/// A symbolic link that another user has made.
fn link_of_another(target: &Path, link: &Path) {
    symlink(target, link).unwrap();
    lchown(link, Some(NOBODY), Some(NOBODY)).unwrap();
}

#[test]
fn a_link_of_another_user_is_not_followed() {
    let secret = TempDir::new().unwrap();
    let target = secret.path().join("target");
    fs::write(&target, "as it was").unwrap();
    // Also in a folder where nobody else may put anything.
    let (shared, own) = (shared_folder(), TempDir::new().unwrap());
    for folder in [&shared, &own] {
        let link = folder.path().join("events");
        link_of_another(&target, &link);
        assert_refused(&link, "symbolic link of user 65534");
        // Nor one that another link leads to.
        let first = own.path().join("first");
        let _absent = fs::remove_file(&first);
        symlink(&link, &first).unwrap();
        assert_refused(&first, "symbolic link of user 65534");
    }
    assert_eq!(fs::read_to_string(&target).unwrap(), "as it was");
    // And one that leads nowhere makes no file.
    let nowhere = secret.path().join("nowhere");
    let link = shared.path().join("other");
    link_of_another(&nowhere, &link);
    assert_refused(&link, "symbolic link");
    assert!(!nowhere.exists());
}

#[test]
fn a_link_of_our_own_is_followed() {
    let folder = shared_folder();
    let [target, link] = ["target", "link"].map(|name| folder.path().join(name));
    // Relative, as links mostly are.
    symlink("target", &link).unwrap();
    run(["run", "-o", link.to_str().unwrap(), "--", "true"]).assert_code(0);
    assert!(fs::read_to_string(&target).unwrap().starts_with("TIME "));
    assert_eq!(fs::metadata(&target).unwrap().mode() & 0o7777, 0o600);
    // A circle of them ends.
    let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
    symlink(&one, &two).unwrap();
    symlink(&two, &one).unwrap();
    assert_refused(&one, "symbolic links");
}

/// Whoever may choose the folder chooses the file.
#[test]
fn a_link_of_another_user_to_a_folder_is_not_followed() {
    let secret = TempDir::new().unwrap();
    let target = secret.path().join("below");
    fs::create_dir(&target).unwrap();
    let (shared, own) = (shared_folder(), TempDir::new().unwrap());
    for folder in [&shared, &own] {
        let link = folder.path().join("link");
        link_of_another(secret.path(), &link);
        let reason = format!("{} is a symbolic link of user 65534", link.display());
        for rest in ["events", "below/events", "below/../events", ".//events"] {
            assert_refused(&link.join(rest), &reason);
        }
        // Nor by a link of ours, nor from a folder that we are in.
        let first = own.path().join("first");
        let _absent = fs::remove_file(&first);
        symlink(link.join("below"), &first).unwrap();
        assert_refused(&first.join("events"), &reason);
        let mut command = agent(["run", "-o", "link/events", "--", "true"]);
        let ended = end(command.current_dir(folder.path()));
        ended.assert_code(1);
        let said = ended.only_line();
        assert!(said.contains(" link is a symbolic link of user"), "{said}");
    }
    assert_eq!(fs::read_dir(secret.path()).unwrap().count(), 1);
    assert_eq!(fs::read_dir(target).unwrap().count(), 0);
}

/// As `/var/run` is one.
#[test]
fn a_link_of_our_own_to_a_folder_is_followed() {
    let folder = shared_folder();
    let [target, relative, absolute] =
        ["target", "relative", "absolute"].map(|name| folder.path().join(name));
    fs::create_dir_all(target.join("below")).unwrap();
    symlink("./target/", &relative).unwrap();
    symlink(relative.join("below/.."), &absolute).unwrap();
    let here = folder.path();
    for path in [
        relative.join("events"),
        absolute.join("below/../events"),
        "relative/events".into(),
        "./absolute/./events".into(),
        "target/below/../../relative/events".into(),
        "/proc/self/cwd/target/events".into(),
        Path::new("/dev/../proc/thread-self/root")
            .join(target.strip_prefix("/").unwrap())
            .join("events"),
    ] {
        let mut command = agent(["run", "-o"]);
        command.arg(&path).args(["--", "true"]).current_dir(here);
        end(&mut command).assert_code(0);
        let text = fs::read_to_string(target.join("events"));
        let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(text.starts_with("TIME "), "{}: {text}", path.display());
        fs::remove_file(target.join("events")).unwrap();
    }
    // No folder is on the way.
    fs::write(target.join("file"), "").unwrap();
    let ended = run([
        "run",
        "-o",
        &format!("{}/file/events", target.display()),
        "--",
        "true",
    ]);
    ended.assert_code(1);
    assert!(ended.only_line().contains("Not a directory"));
}

/// As the kernel does, and not more.
#[test]
fn forty_links_are_followed() {
    let folder = TempDir::new().unwrap();
    let link = |number: u32| folder.path().join(number.to_string());
    fs::create_dir(link(0)).unwrap();
    for number in 1..=41 {
        symlink((number - 1).to_string(), link(number)).unwrap();
    }
    let path = link(40).join("events");
    run(["run", "-o", path.to_str().unwrap(), "--", "true"]).assert_code(0);
    assert!(link(0).join("events").exists());
    assert_refused(&link(41).join("events"), "symbolic links");
}
