//! Writes one image as an OCI image layout in a tar archive: `oci-layout`, `index.json` and three blobs (layer, configuration,
//! manifest), each named after its digest. One layer, uncompressed: the archive is read once on the same machine.
//!
//! Form: the OCI image specification 1.1, image-layout.md, manifest.md and config.md; and beside it `manifest.json`, by which a
//! `docker load` without containerd's store finds the same blobs.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::str::FromStr as _;

use anyhow::Context as _;
use oci_spec::image::{
    Arch, ConfigBuilder, Descriptor, DescriptorBuilder, ImageConfigurationBuilder,
    ImageIndexBuilder, ImageManifestBuilder, MediaType, OciLayoutBuilder, Os, RootFsBuilder,
    SCHEMA_VERSION, Sha256Digest,
};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

/// The annotation from which containerd takes the name of an imported image.
const NAME_ANNOTATION: &str = "io.containerd.image.name";

/// The files of an image, or of anything else that becomes a tar archive. Nobody's time and the owner root, so that the
/// same content gives the same bytes.
pub(crate) struct Files(Builder<Vec<u8>>);

impl Default for Files {
    fn default() -> Self {
        Self(Builder::new(Vec::new()))
    }
}

impl Files {
    pub(crate) fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> anyhow::Result<()> {
        let mut header = header(EntryType::Regular, mode);
        header.set_size(content.len() as u64);
        self.0.append_data(&mut header, path, content).with_context(|| format!("add {path}"))
    }

    /// What lies at `from` on this machine; a link is followed.
    pub(crate) fn copy(&mut self, from: &Path, path: &str, mode: u32) -> anyhow::Result<()> {
        let content = fs::read(from).with_context(|| format!("read {}", from.display()))?;
        self.file(path, mode, &content)
    }

    pub(crate) fn folder(&mut self, path: &str) -> anyhow::Result<()> {
        let mut header = header(EntryType::Directory, 0o755);
        self.0.append_data(&mut header, path, &[][..]).with_context(|| format!("add {path}"))
    }

    pub(crate) fn link(&mut self, path: &str, target: &str) -> anyhow::Result<()> {
        let mut header = header(EntryType::Symlink, 0o777);
        self.0.append_link(&mut header, path, target).with_context(|| format!("add {path}"))
    }

    fn finish(self) -> anyhow::Result<Vec<u8>> {
        self.0.into_inner().context("close a tar archive")
    }
}

fn header(kind: EntryType, mode: u32) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(0);
    header
}

/// An image as a tar archive.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) archive: Vec<u8>,
    /// Of the manifest: what `ctr images ls` shows and a registry gives.
    pub(crate) digest: String,
}

/// The image called `reference` that runs `entrypoint`.
pub(crate) fn archive(reference: &str, files: Files, entrypoint: &[&str]) -> anyhow::Result<Image> {
    let layer = Blob::new(MediaType::ImageLayer, files.finish()?)?;
    let configuration = configuration(&layer, entrypoint)?;
    let manifest = ImageManifestBuilder::default()
        .schema_version(SCHEMA_VERSION)
        .media_type(MediaType::ImageManifest)
        .config(configuration.descriptor.clone())
        .layers([layer.descriptor.clone()])
        .build()?;
    let mut manifest = Blob::new(MediaType::ImageManifest, manifest.to_string()?.into_bytes())?;
    let name = HashMap::from([(NAME_ANNOTATION.to_owned(), reference.to_owned())]);
    manifest.descriptor.set_annotations(Some(name));
    let digest = manifest.descriptor.digest().to_string();
    let archive = write(reference, &[layer, configuration, manifest])?;
    Ok(Image { archive, digest })
}

fn configuration(layer: &Blob, entrypoint: &[&str]) -> anyhow::Result<Blob> {
    let process = ConfigBuilder::default()
        .entrypoint(entrypoint.iter().map(|&word| word.to_owned()).collect::<Vec<_>>())
        .env(["PATH=/bin:/usr/bin:/sbin:/usr/sbin".to_owned()])
        .build()?;
    let root = RootFsBuilder::default()
        .typ("layers")
        // Of the uncompressed layer, which is the only form there is here.
        .diff_ids([layer.descriptor.digest().to_string()])
        .build()?;
    let configuration = ImageConfigurationBuilder::default()
        .architecture(Arch::Amd64)
        .os(Os::Linux)
        .config(process)
        .rootfs(root)
        .build()?;
    Blob::new(MediaType::ImageConfig, configuration.to_string()?.into_bytes())
}

fn write(reference: &str, blobs: &[Blob; 3]) -> anyhow::Result<Vec<u8>> {
    let [layer, configuration, manifest] = blobs;
    let index = ImageIndexBuilder::default()
        .schema_version(SCHEMA_VERSION)
        .media_type(MediaType::ImageIndex)
        .manifests([manifest.descriptor.clone()])
        .build()?;
    let layout = OciLayoutBuilder::default().image_layout_version("1.0.0").build()?;
    let mut archive = Files::default();
    archive.file("oci-layout", 0o644, layout.to_string()?.as_bytes())?;
    archive.file("index.json", 0o644, index.to_string()?.as_bytes())?;
    let docker = json!([{
        "Config": configuration.path(), "RepoTags": [reference], "Layers": [layer.path()],
    }]);
    archive.file("manifest.json", 0o644, docker.to_string().as_bytes())?;
    for blob in blobs {
        archive.file(&blob.path(), 0o644, &blob.content)?;
    }
    archive.finish()
}

struct Blob {
    descriptor: Descriptor,
    content: Vec<u8>,
}

impl Blob {
    fn new(kind: MediaType, content: Vec<u8>) -> anyhow::Result<Blob> {
        let hash: String =
            Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
        let descriptor = DescriptorBuilder::default()
            .media_type(kind)
            .size(content.len() as u64)
            .digest(Sha256Digest::from_str(&hash)?)
            .build()?;
        Ok(Blob { descriptor, content })
    }

    /// In the archive.
    fn path(&self) -> String {
        format!("blobs/sha256/{}", self.descriptor.digest().digest())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read as _;

    use serde_json::Value;
    use tar::Archive;

    use super::{Files, Image, archive};

    fn small() -> Image {
        let mut files = Files::default();
        files.folder("bin").unwrap();
        files.file("bin/true", 0o755, b"#!").unwrap();
        files.link("bin/yes", "true").unwrap();
        archive("bench.test/small:1", files, &["/bin/true"]).unwrap()
    }

    fn entries(tar: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        for entry in Archive::new(tar).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            found.insert(entry.path().unwrap().display().to_string(), content);
        }
        found
    }

    fn json(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    /// As a runtime reads it: from the index to the manifest, from there to the layer and the configuration.
    #[test]
    fn a_reader_finds_the_layer_and_the_entrypoint() {
        let image = small();
        let files = entries(&image.archive);
        let blob = |digest: &Value| {
            let (_, hash) = digest.as_str().unwrap().split_once(':').unwrap();
            files[&format!("blobs/sha256/{hash}")].clone()
        };
        assert_eq!(json(&files["oci-layout"])["imageLayoutVersion"], "1.0.0");
        let listed = &json(&files["index.json"])["manifests"][0];
        assert_eq!(listed["annotations"]["io.containerd.image.name"], "bench.test/small:1");
        let manifest = json(&blob(&listed["digest"]));
        let configuration = json(&blob(&manifest["config"]["digest"]));
        assert_eq!(configuration["config"]["Entrypoint"][0], "/bin/true");
        assert_eq!(configuration["rootfs"]["diff_ids"][0], manifest["layers"][0]["digest"]);
        let layer = entries(&blob(&manifest["layers"][0]["digest"]));
        assert_eq!(layer["bin/true"], b"#!");
        assert!(layer.contains_key("bin/yes"));
        assert_eq!(listed["digest"], image.digest);
        let docker = &json(&files["manifest.json"])[0];
        assert_eq!(docker["RepoTags"][0], "bench.test/small:1");
        assert_eq!(json(&files[docker["Config"].as_str().unwrap()]), configuration);
        assert_eq!(entries(&files[docker["Layers"][0].as_str().unwrap()]), layer);
    }

    #[test]
    fn the_same_files_give_the_same_bytes() {
        assert_eq!(small().archive, small().archive);
    }
}
