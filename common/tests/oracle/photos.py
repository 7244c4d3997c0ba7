"""Small JPEG and PNG files of every kind that photographs come in, and what Pillow makes of them, for
src/data/photos/decode_tests.rs.

Writes ../fixtures/photos/: <name>.jpg or .png, and <name>.expected.png. Python 3.11, Pillow 13.0.0, numpy 2.4.6:

    pip install pillow==13.0.0 numpy==2.4.6
    python photos.py

The expected picture is Pillow's: opened, turned as EXIF says, alpha laid over white, converted to RGB, 16 bits divided by
257. square-<side>.expected.png is the centre square of square.png, resized by Pillow's BILINEAR.
"""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

HERE = Path(__file__).resolve().parent.parent / "fixtures" / "photos"
WIDTH, HEIGHT = 43, 30


def scene(width=WIDTH, height=HEIGHT):
    """Smooth colours and an off-centre disc, without symmetry; [height, width, 3]."""
    y, x = np.mgrid[0:height, 0:width]
    red = 40 + 180 * x / width
    green = 200 - 150 * y / height + 20 * np.sin(x / 5)
    blue = 120 + 100 * np.sin(x / 9 + y / 7)
    levels = np.stack([red, green, blue], -1)
    disc = (x - width * 0.3) ** 2 + (y - height * 0.6) ** 2 < (height * 0.22) ** 2
    levels[disc] = [230, 60, 30]
    return levels.clip(0, 255).astype(np.uint8)


def expected(data):
    picture = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if picture.mode.startswith("I"):
        picture = Image.fromarray(((np.asarray(picture).astype(np.int64) * 255 + 32767) // 65535).astype(np.uint8))
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        levels = np.asarray(picture).astype(np.int64)
        alpha = levels[..., 3:]
        flat = (levels[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255
        return Image.fromarray(flat.astype(np.uint8))
    return picture.convert("RGB")


def write(name, data):
    (HERE / name).write_bytes(data)
    expected(data).save(HERE / (name.rsplit(".", 1)[0] + ".expected.png"), optimize=True)


def encoded(picture, form, **options):
    out = io.BytesIO()
    picture.save(out, form, **options)
    return out.getvalue()


def ycck(levels):
    """CMYK stored as YCbCr and K, inverted, as Photoshop does: the planes written as they are, then the transform set to 2."""
    key = levels.max(-1, keepdims=True)
    inks = (levels.astype(np.int64) * 255 // np.maximum(key, 1)).clip(0, 255).astype(np.uint8)
    planes = np.asarray(Image.fromarray(255 - inks).convert("YCbCr"))
    stored = np.concatenate([planes, key], -1)
    data = bytearray(encoded(Image.fromarray(255 - stored, "CMYK"), "JPEG", quality=92))
    at = data.index(b"Adobe")
    assert data[at + 11] == 0
    data[at + 11] = 2
    return bytes(data)


HERE.mkdir(parents=True, exist_ok=True)
rgb = Image.fromarray(scene())
write("baseline-420.jpg", encoded(rgb, "JPEG", quality=92, subsampling=2))
write("baseline-422.jpg", encoded(rgb, "JPEG", quality=92, subsampling=1))
write("baseline-444.jpg", encoded(rgb, "JPEG", quality=92, subsampling=0))
write("progressive.jpg", encoded(rgb, "JPEG", quality=92, subsampling=0, progressive=True))
write("restarts.jpg", encoded(rgb, "JPEG", quality=92, subsampling=0, restart_marker_blocks=3))
write("direct.jpg", encoded(rgb, "JPEG", quality=92, keep_rgb=True))
write("grey.jpg", encoded(rgb.convert("L"), "JPEG", quality=92))
write("cmyk.jpg", encoded(rgb.convert("CMYK"), "JPEG", quality=92))
write("ycck.jpg", ycck(scene()))
small = Image.fromarray(scene(21, 13))
for turn in range(1, 9):
    exif = Image.Exif()
    exif[0x0112] = turn
    write(f"turn-{turn}.jpg", encoded(small, "JPEG", quality=92, subsampling=0, exif=exif))

y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
alpha = (255 * (x + y) / (WIDTH + HEIGHT - 2)).astype(np.uint8)
write("rgb.png", encoded(rgb, "PNG", optimize=True))
write("disguised.jpg", encoded(rgb, "PNG", optimize=True))
write("alpha.png", encoded(Image.fromarray(np.dstack([scene(), alpha])), "PNG", optimize=True))
write("grey-alpha.png", encoded(Image.merge("LA", [rgb.convert("L"), Image.fromarray(alpha)]), "PNG", optimize=True))
write("palette.png", encoded(rgb.quantize(16), "PNG", optimize=True))
write("palette-clear.png", encoded(rgb.quantize(16), "PNG", optimize=True, transparency=3))
write("black-and-white.png", encoded(rgb.convert("1"), "PNG", optimize=True))
deep = (np.asarray(rgb.convert("L")).astype(np.uint16) << 8) | (x * 5 % 256).astype(np.uint16)
write("grey-16.png", encoded(Image.fromarray(deep), "PNG", optimize=True))

source = scene(61, 47).astype(np.int64) + np.random.default_rng(0).integers(-25, 26, (47, 61, 3))
source = Image.fromarray(source.clip(0, 255).astype(np.uint8))
source.save(HERE / "square.png", optimize=True)
left = (61 - 47) / 2
for side in (24, 80):
    result = source.resize((side, side), Image.Resampling.BILINEAR, box=(left, 0, left + 47, 47))
    result.save(HERE / f"square-{side}.expected.png", optimize=True)
