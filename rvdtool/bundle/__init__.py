"""The bundle: one ZIP file that holds a video, its true RAW frames, and a manifest.

The format is docs/formats/bundle.md.

    fields         field types of the manifest, with their limits
    transform      models of the transform from a RAW frame to the video's grid
    manifest       models of `manifest.json`
    manifest_json  reads and writes `manifest.json`, and generates its JSON Schema
    convert        converts between the manifest's models and the types of other packages
    planes         the planes member: a RAW frame on the video's grid
    archive        writes the ZIP file, and locates and checks its members
    store          creates and opens bundles
    verify         checks that a bundle is still what was packed
    unpack         extracts the user's files, byte for byte
"""
