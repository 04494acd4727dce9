"""Classify images with ONNX Runtime and OpenCV alone: python onnx_predict.py model.onnx IMAGES... > predictions.csv"""

import sys

import cv2
import onnxruntime


def centered(image, side):  # The square in the middle, with a black border where the image is smaller.
    top, left = (max(0, length - side) // 2 for length in image.shape[:2])
    image = image[top : top + side, left : left + side]
    down, right = side - image.shape[0], side - image.shape[1]
    return cv2.copyMakeBorder(image, down // 2, down - down // 2, right // 2, right - right // 2, cv2.BORDER_CONSTANT)


session = onnxruntime.InferenceSession(sys.argv[1])
about = session.get_modelmeta().custom_metadata_map
crop, size, threshold = int(about["crop_px"] or 0), int(about["size_px"]), float(about["threshold"])
print("path,probability_leukemic,predicted")
for path in sys.argv[2:]:
    image = centered(cv2.imread(path), crop) if crop else cv2.imread(path)
    scale = size / crop if crop else min(1, size / max(image.shape[:2]))
    height, width = (max(1, round(length * scale)) for length in image.shape[:2])
    view = centered(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), size)
    probability = session.run(None, {"pixels": cv2.cvtColor(view, cv2.COLOR_BGR2RGB)[None]})[0][0]
    print(f"{path},{probability:.6f},{int(probability >= threshold)}")
