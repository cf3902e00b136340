"""Small images for tests of import: a DICOM series written by pydicom, and a head of known geometry."""

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

HEAD_CENTRE = np.array([4.0, -6.0, 10.0])
BRAIN_RADII = np.array([62.0, 72.0, 58.0])
SKULL_MM, SCALP_MM = 7.0, 8.0
FACE_RADII = np.array([40.0, 40.0, 35.0])
FACE, SINUS = np.array([0.0, -50.0, -52.0]), np.array([0.0, -66.0, -62.0])
ROD_X = 98.0


def slice_dataset(pixels: np.ndarray, position, cosines, spacing) -> Dataset:
    """Return an MR slice; `pixels` are (rows, columns)."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
    data.Modality, data.PatientName, data.PatientID = "MR", "Secret^Name", "ID-4711"
    data.SeriesDescription = "../../../evil"
    data.SeriesInstanceUID, data.FrameOfReferenceUID = "1.2.3.4", "1.2.3.5"
    data.Rows, data.Columns = pixels.shape
    data.PixelSpacing = [float(s) for s in spacing]
    data.ImagePositionPatient = [round(float(p), 6) for p in position]
    data.ImageOrientationPatient = [round(float(c), 9) for c in np.ravel(cosines)]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
    data.EchoTime = 2.97
    data.PixelData = np.ascontiguousarray(pixels, "<u2").tobytes()
    return data


def write_series(folder: Path, array: np.ndarray, affine: np.ndarray, change=None) -> list[Path]:
    """Write `array` (columns, rows, slices) with an LPS `affine`; `change(k, dataset)` may spoil a slice."""
    folder.mkdir(parents=True, exist_ok=True)
    steps = np.linalg.norm(affine[:3, :3], axis=0)
    cosines = np.stack([affine[:3, 0] / steps[0], affine[:3, 1] / steps[1]])
    order = np.random.default_rng(5).permutation(array.shape[2])  # names say nothing of the place
    paths = []
    for k in range(array.shape[2]):
        position = affine[:3, 3] + k * affine[:3, 2]
        data = slice_dataset(array[:, :, k].T, position, cosines, (steps[1], steps[0]))
        if change is not None and change(k, data) is False:
            continue
        path = folder / f"im{order[k]:03d}.dcm"
        data.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def head_image(step: float, noise: float = 8.0) -> tuple[np.ndarray, np.ndarray]:
    """Return a T1-like head with scalp, skull, brain, ventricle, sinus and two fiducial rods; array and LPS affine."""
    low, high = np.array([-105.0, -115.0, -85.0]), np.array([105.0, 105.0, 105.0])
    shape = np.round((high - low) / step).astype(int)
    affine = np.diag([step, step, step, 1.0])
    affine[:3, 3] = low + step / 2
    x, y, z = (affine[a, 3] + step * np.arange(shape[a]) for a in range(3))
    offset = [(v - c) for v, c in zip(np.meshgrid(x, y, z, indexing="ij"), HEAD_CENTRE, strict=True)]

    def ball(radii, centre=(0.0, 0.0, 0.0)):
        return sum(((o - c) / r) ** 2 for o, c, r in zip(offset, centre, radii, strict=True)) < 1

    image = np.zeros(tuple(shape))
    image[ball(FACE_RADII, FACE)] = 500.0
    image[ball(BRAIN_RADII + SKULL_MM + SCALP_MM)] = 900.0
    image[ball(BRAIN_RADII + SKULL_MM)] = 15.0
    image[ball(BRAIN_RADII)] = 450.0
    image[ball((9.0, 18.0, 8.0), (0.0, 0.0, 12.0))] = 110.0
    image[ball((12.0, 12.0, 12.0), SINUS)] = 0.0
    for side in (-1, 1):
        image[(np.abs(x - side * ROD_X) < 3)[:, None, None] & (np.abs(y - 10.0) < 3)[None, :, None] & (z < 80)] = 800.0
    rng = np.random.default_rng(1)
    return np.hypot(image + rng.normal(0, noise, image.shape), rng.normal(0, noise, image.shape)), affine


def structure_set(regions: dict[str, list[np.ndarray]], frame: str = "1.2.3.5", series: str = "1.2.3.4") -> Dataset:
    """Return a structure set: closed contours, each shape (n, 3), LPS mm, by the name of the region."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
    data.Modality, data.PatientName, data.StructureSetLabel = "RTSTRUCT", "Secret^Name", "../../../evil"
    data.SeriesInstanceUID = generate_uid()
    referenced, study, inner = Dataset(), Dataset(), Dataset()
    inner.SeriesInstanceUID = series
    study.RTReferencedSeriesSequence = [inner]
    referenced.FrameOfReferenceUID, referenced.RTReferencedStudySequence = frame, [study]
    data.ReferencedFrameOfReferenceSequence = [referenced]
    data.StructureSetROISequence, data.ROIContourSequence = [], []
    for number, (name, contours) in enumerate(regions.items(), 7):
        roi, drawn = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = number, name, frame
        drawn.ReferencedROINumber, drawn.ContourSequence = number, []
        for points in contours:
            contour = Dataset()
            contour.ContourGeometricType = "CLOSED_PLANAR" if len(points) > 1 else "POINT"
            contour.NumberOfContourPoints = len(points)
            contour.ContourData = [round(float(v), 4) for v in np.ravel(points)]
            drawn.ContourSequence.append(contour)
        data.StructureSetROISequence.append(roi)
        data.ROIContourSequence.append(drawn)
    return data


def circle(radius: float, centre: tuple[float, float, float], count: int = 90) -> np.ndarray:
    """Return the polygon, shape (count, 3), of the area of a circle in an axial plane."""
    angle = 2 * np.pi * np.arange(count) / count
    # A polygon inside a circle lacks area: its corners lie so far out that it does not.
    out = radius * np.sqrt(2 * np.pi / (count * np.sin(2 * np.pi / count)))
    ring = np.stack([out * np.cos(angle), out * np.sin(angle), 0 * angle], axis=1)
    return ring + np.asarray(centre)
