"""Classify images with ONNX Runtime and OpenCV alone: python onnx_predict.py model.onnx IMAGES... > predictions.csv"""

import sys

import cv2
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1])
about = session.get_modelmeta().custom_metadata_map
crop, size = int(about["crop_px"] or 0), int(about["size_px"])


def view(image):
    height, width = image.shape[:2]
    if crop:
        top, left = max(0, height - crop) // 2, max(0, width - crop) // 2
        return resized(padded(image[top : top + crop, left : left + crop], crop), size, size)
    scale = min(1, size / max(height, width))
    return padded(resized(image, max(1, round(width * scale)), max(1, round(height * scale))), size)


def resized(image, width, height):
    if image.shape[:2] == (height, width):
        return image
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def padded(image, side):
    top, left = (side - image.shape[0]) // 2, (side - image.shape[1]) // 2
    margins = (top, side - image.shape[0] - top, left, side - image.shape[1] - left)
    return cv2.copyMakeBorder(image, *margins, cv2.BORDER_CONSTANT, value=0)


print("path,probability_leukemic,predicted")
for path in sys.argv[2:]:
    pixels = np.ascontiguousarray(view(cv2.imread(path))[None, :, :, ::-1])
    probability = session.run(None, {"pixels": pixels})[0][0]
    print(f"{path},{probability:.6f},{int(probability >= float(about['threshold']))}")
