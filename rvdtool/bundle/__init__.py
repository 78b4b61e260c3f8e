"""The bundle: one ZIP file that holds a video, its true RAW frames, and a manifest.

The format is docs/formats/bundle.md.

    fields         kinds of values in the manifest, with their limits
    transform      where a RAW frame lies on the video's grid, in the manifest
    manifest       what `manifest.json` may say, as models
    manifest_json  … and as bytes, with its JSON Schema
    convert        … and as the types of the other packages
    planes         the planes member: a RAW frame on the video's grid
    archive        the ZIP file: written and hashed in one pass, found and checked
    store          create and open a bundle
    verify         check that a bundle is still what was packed
    unpack         extract the user's files, byte for byte
"""
