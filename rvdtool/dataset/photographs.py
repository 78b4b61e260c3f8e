"""Photographs that training alone uses, from three public collections of desktop wallpapers.

Each is the Git object of that name in its repository's history, so it can't change; with clones of
the repositories, `examples/collect_photographs.py` puts all of them into one folder. Licences, as
the collections state them: elementary: CC0, Unsplash, Pexels or Pixabay License, CC-BY-2.0 or 4.0,
CC-BY-SA-4.0; Ubuntu MATE: CC-BY-SA-4.0 or CC0; Pop!_OS: CC0 or CC-BY-4.0.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Photograph(NamedTuple):
    """One of them.

    Attributes:
        blob: the Git object that holds the JPEG file.
        title: the file's name in the collection; most name the photographer.
        size: (width, height).
    """

    blob: str
    title: str
    size: tuple[int, int]


COLLECTIONS: Mapping[str, Sequence[Photograph]] = {
    "elementary/wallpapers": (
        Photograph("4a6c86cd620efd28da7b3c29077915ec99cc5d24", "Barn Grafitti", (3417, 2276)),
        Photograph("14dcf01c070ed7dab93c75a12c2d2d204bd45ecd", "Cheng Feng", (6000, 4000)),
        Photograph("efa48de5e787334e5d028130fed209b696452c2f", "Disco Sea Eye Ferns", (5184, 3456)),
        Photograph("2fd51c3f1a9601d1d3769dc06b51b9e09a263ce1", "Horseshoe Bend Sunset", (2560, 1600)),
        Photograph("1696d19e5f7cb397355d99db812db5c9c141db8c", "Jade Droplet", (4032, 2302)),
        Photograph("c5f07ad8ff7b244500ebf97d786a8e1cd9160e0e", "Jairo Alzate", (3872, 2592)),
        Photograph("199596cf56e8d94eef988a3617f6aa6ed5f48593", "Jay Ruzesky", (4579, 3271)),
        Photograph("efb9ca1d72ad3d4ba2febd10d1df4f92df3fab66", "Lake Tahoe Colors", (3447, 2295)),
        Photograph("38fc6860c6d607231487cf2a4c30535819cbb089", "Living Stones", (2560, 1600)),
        Photograph("8fb2bdf5bee96f5465fdb5261a77d99b660f4630", "Martian Terrain", (4096, 2160)),
        Photograph("b09db19802ed48c3bac8fb6341988d5cdafb8c40", "Mountains and forest", (3840, 2341)),
        Photograph("a3ca25faeaeecb28008424c9acc29ee521e9f399", "Musca_domestica", (3264, 2448)),
        Photograph("7ce5252146404b0430bd7700f1800fc2d39894df", "Paweł Czerwiński Giraffe", (5184, 2916)),
        Photograph("c1a812c25d43e399b14f13c7344a061554878f85", "Paweł Czerwiński Leaves", (7391, 4158)),
        Photograph("6a0579ca60dff59dc322f641f38d67b9042bd490", "Rose leaf", (3264, 2448)),
        Photograph("9145a6297a70227e45a115de5f20098f40cf85ac", "Sam Henderson", (4896, 3264)),
        Photograph("8df0e2369d475cf1a342eb04474b057c787e1ef0", "Suluh Kalba", (4000, 3000)),
        Photograph("b2833502079f5205726d15a645992243e635541a", "Water Lily", (2560, 1600)),
        Photograph("ee5be2021430d167eb97ebf46f73a4678b5fbe55", "alexandr-block-1379724-unsplash", (4288, 2848)),
        Photograph("c5ba8ba41a05c4e4d65beb8b2fbebe2281c6bbe2", "alvaro-araoz-382526", (4608, 3456)),
        Photograph("2088aca0b8c3f141456b4592efe25ee5f118cc30", "A Moment to Breathe", (4896, 3264)),
        Photograph("2f0b0aee0973eaa3dcb92141696e12dcb760fd1d", "Ashim DSilva", (3072, 2048)),
        Photograph("70244f9a98c3a152788b0bfa8cd49b3cff5ba2d6", "Brown Architecture", (6000, 4000)),
        Photograph("922c2938b62269c45a4adf8ea0955e71316047c0", "CHUTTERSNAP White Clouds", (3840, 2563)),
        Photograph("57df4608ac8825cbbcfa5e6f2d982eb9597642ee", "Carmine De Fazio", (6016, 4016)),
        Photograph("eb8d9a7b9c3f4818ea33f2cd068f18c13b9dad37", "Desk Plants", (5379, 3581)),
        Photograph("421240863507895926d825b2fd2af779a72177e4", "Jonas Nilsson Lee", (2560, 1600)),
        Photograph("14fd2565876357c6fcd7339e4bb000d34aa2bcc8", "Julia Craice", (6000, 4000)),
        Photograph("99365376a2bafd1adc98b58f9a925b5c347c13d8", "Martin Adams", (6000, 4000)),
        Photograph("0832b455d1d8a79532ad8504c218518482431d93", "Morskie Oko", (5184, 3456)),
        Photograph("a79a1f4c998dfe6369def2880cd70f81e499ed54", "Mr. Lee", (4476, 2984)),
        Photograph("d2f3d4810256fbd5b7b9a90806384163bafb68bd", "Northern Lights", (6005, 4000)),
        Photograph("4f6cfa4b6452eaab9d1b4b135e95dad59ebd7f46", "Pablo Garcia Saldana", (5760, 3840)),
        Photograph("16e4845a89fa528e88a860b087172fa64cc39dd7", "Rob Bye", (3264, 2448)),
        Photograph("7a0323177d618e648c3899fc3f37fe335b40451e", "Ryan Schroeder", (4442, 2961)),
        Photograph("252823e2223352fe174c4f3f19f93852e136b19b", "Scott Riley", (5095, 3508)),
        Photograph("4a15df0e0d3806fc5667cbea43a949a11693482c", "Snow-Capped Mountain", (4200, 2800)),
        Photograph("e7a86a244143579ee3daba50b3c4bc90a8e6ad65", "Sunset Tree", (5105, 2871)),
        Photograph("c04159676e76262cd1e91252567a3df8c052447e", "Sunset by the Pier", (5470, 3646)),
        Photograph("015f10e5063cdf42ef29a45a6d88c39bc9905111", "Tj Holowaychuk", (4240, 2384)),
        Photograph("42a06bacd4edd3284ccd64a2b5e682f9bd28e0df", "Tomasz Smal", (6720, 4480)),
        Photograph("f96a048cbaeaecf14cd7177ff603620f6f2f138d", "Viktor Forgacs", (4896, 3264)),
        Photograph("aa39b3a6cf02879ce4711155d19346064bf0c4c8", "william bout lighthouse", (5944, 3458)),
        Photograph("4e7ed69694aaca9737bc6754426cf8dbc6b69da8", "ice mountains", (3200, 1800)),
        Photograph("6e5df1923be5c5e1dee8fd9d18a3abf1358fa3a2", "photo-1452953008873-ae5837174535", (3995, 2664)),
        Photograph("249e37642b4c7fa4a55c5c464cc5ee682db6349b", "victor-svistunov-233897-KB", (4032, 2268)),
    ),
    "ubuntu-mate/ubuntu-mate-artwork": (
        Photograph("8d19f4732c2b548713963cb64a6701a9c40a60fb", "hu-chen-unsplash-baby-hippo-with-mother", (2432, 1368)),
        Photograph("45dcc80433c5591f0a39791da34d026ce64bb426", "joe-were-unsplash-hippo", (3840, 2160)),
        Photograph("1600e58ad0d95d9d7d2243c4f272037d634dd7fa", "pawel-czerwinski-unsplash-hippos", (5184, 3456)),
        Photograph("ac5f8ab72edfef21326da56cfe3720a7f86f16aa", "hans-jurgen-mager-indri", (4206, 2804)),
        Photograph("c0338112071642ef57e437fe331c5ace2a0f7077", "medusa-jellyfish", (6000, 4000)),
        Photograph("adb1decf3a08fdf9ece3cec0301be95f09a06b64", "jamie-muller-kudu", (3872, 2592)),
        Photograph("cc5e88f1085bcea28cff4abc34e8f7f5f56a202f", "blue-lobster", (2560, 1440)),
        Photograph("350bba787350294750c4974f9ee7e13f3ca4dc01", "andrew-ridley-54228", (2560, 1440)),
        Photograph("1e62f5b813517d80787eb9f0fd09a67035806f89", "gabriele-diwald-201135", (2560, 1440)),
        Photograph("bb221c891fc706a97b41f822549399480543897b", "johann-siemens-591", (2560, 1440)),
        Photograph("9493ab939c0795ff8adac956e69c76312156a432", "kristopher-roller-110203", (2560, 1440)),
        Photograph("8cb6479038a036887945cc155989483797e185f0", "matteo-botto-16023", (2560, 1440)),
        Photograph("50ce78ad059f074eb84ee97bb63315598816311a", "nattu-adnan-328570", (2560, 1440)),
        Photograph("36160e0491ea1407fc5ca2e7a8ff4ee5351ffe69", "sebastian-muller-52", (2560, 1440)),
        Photograph("73458444bed3b4e10a4fecf54a976dfd87a8c036", "stefan-stefancik-105374", (2560, 1440)),
        Photograph("f9a3b1d00573a11aa5870cb75a54ea49bcd3f2b0", "tommy-lisbin-189189", (2560, 1440)),
    ),
    "pop-os/wallpapers": (
        Photograph("f1dd15a444405b2a515890afdf2ea35b96e48792", "absolute-shrubbery", (4032, 3024)),
        Photograph("4f7de2c2a6667a8821dafeaf17001257e1133c12", "ahmadreza-sajadi-10140-edit", (5184, 2672)),
        Photograph("7d851346b64cf6518a51b793783ec52f981cf61d", "ferdinand-stohr-149422", (5184, 3456)),
        Photograph("c1e72b39a123c560c5be83035f86114622ba42f7", "jad-limcaco-183877", (4896, 2968)),
        Photograph("6de6c8304fd820c69f889b936674fb1f376012ac", "jared-evans-119758", (6016, 3530)),
        Photograph("1f89b873b3df00951ee35c96d6612bcf633d0d72", "jumpington", (4032, 3024)),
        Photograph("f1946f13ce0a0dbecde70658523446a141d18371", "kait-herzog-8242", (3120, 3000)),
        Photograph("b58c9eea29d55dbb92aaa2de627e798a280976bc", "nasa-89127", (5200, 2500)),
        Photograph("6454149724b4d5f4ae290030598b34b1f2ce9062", "ng-32703", (3000, 2000)),
        Photograph("eeb4118353b6c4e7c1e2fa31abf46c08dae464bb", "parky-tree", (5184, 3456)),
        Photograph("c00e276f0fc61848a8d53285164b6666730bcfc9", "samuel-zeller-337041", (5964, 3976)),
        Photograph("7d2c39d261b43ddbdb7c3049f9ee8c29cdb188df", "sean-afnan-244576", (4002, 2668)),
        Photograph("f016977d7d219b6abcb828b49e2ceb9d9ef5c15e", "the-elder-stick", (4032, 3024)),
        Photograph("348166dd62c899c184b723a7d2310f1d1b094baf", "tony-webster-97532", (5672, 3781)),
        Photograph("56a899cf02523e1a54463501f24a43f8258392d6", "waterfalling", (4032, 3024)),
    ),
}
"""By repository on github.com."""
