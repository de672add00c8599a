#pragma once
// Tensors: a slice of device memory with a shape and an element type. They never own; row-major, last dimension fastest.
// Rows follow each other without gaps, except in views from columns(), which only matmul and the loss accept.

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "engine/base/integer_math.h"
#include "engine/memory/access.h"
#include "engine/memory/dtype.h"

namespace lapilli {

class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<uint32_t> dims) : rank_(static_cast<uint32_t>(dims.size())) {
    CHECK(dims.size() <= dims_.size(), "rank {}", dims.size());
    std::ranges::copy(dims, dims_.begin());
  }
  uint32_t rank() const { return rank_; }
  uint32_t operator[](uint32_t i) const { return dims_[i]; }
  uint64_t elements() const {
    uint64_t product = 1;
    for (uint32_t i = 0; i < rank_; ++i) product *= dims_[i];
    return product;
  }
  bool operator==(const Shape&) const = default;
  std::string to_string() const {  // "[2, 3]"
    std::string text = "[";
    for (uint32_t i = 0; i < rank_; ++i) text += (i == 0 ? "" : ", ") + std::to_string(dims_[i]);
    return text + "]";
  }

 private:
  std::array<uint32_t, 4> dims_{};
  uint32_t rank_ = 0;
};

// Readable memory. An empty tensor is an omitted optional argument.
class ConstTensor {
 public:
  ConstTensor() = default;
  ConstTensor(const Slice& slice, Shape shape, DType dtype = DType::f32) : slice_(slice), shape_(shape), dtype_(dtype) {
    CHECK(slice.size_bytes() >= shape.elements() * lapilli::size_bytes(dtype), "{} bytes for shape {}", slice.size_bytes(), shape.to_string());
  }
  explicit operator bool() const { return static_cast<bool>(slice_); }

  const Slice& slice() const { return slice_; }
  const Shape& shape() const { return shape_; }
  uint32_t dim(uint32_t i) const { return shape_[i]; }
  DType dtype() const { return dtype_; }
  uint64_t elements() const { return shape_.elements(); }
  // From the first element to the last, including gaps.
  uint64_t size_bytes() const {
    if (elements() == 0) return 0;
    return (uint64_t{rows() - 1} * row_stride() + cols()) * lapilli::size_bytes(dtype_);
  }
  // All dimensions but the last, multiplied: the tensor as a matrix [rows, cols].
  uint32_t cols() const {
    CHECK(shape_.rank() > 0, "a tensor without dimensions is no matrix");
    return shape_[shape_.rank() - 1];
  }
  uint32_t rows() const { return static_cast<uint32_t>(elements() / cols()); }
  uint32_t row_stride() const { return row_stride_ != 0 ? row_stride_ : cols(); }  // elements from a row to the next
  bool is_contiguous() const { return row_stride() == cols() || rows() == 1; }

  ConstTensor reshaped(Shape shape) const {
    CHECK(shape.elements() == elements() && is_contiguous(), "{} as {}", shape_.to_string(), shape.to_string());
    return {slice_, shape, dtype_};
  }
  // `count` rows from row `first` of the tensor seen as a matrix.
  ConstTensor row_range(uint32_t first, uint32_t count) const {
    CHECK(first + count <= rows() && is_contiguous(), "rows {}+{} of {}", first, count, rows());
    const uint64_t row_bytes = cols() * lapilli::size_bytes(dtype_);
    return {slice_.sub(first * row_bytes, count * row_bytes), Shape{count, cols()}, dtype_};
  }
  // `count` elements from element `first` of a vector.
  ConstTensor range(uint32_t first, uint32_t count) const {
    CHECK(shape_.rank() == 1 && first + count <= elements(), "{}+{} of {}", first, count, shape_.to_string());
    const uint64_t size = lapilli::size_bytes(dtype_);
    return {slice_.sub(first * size, count * size), Shape{count}, dtype_};
  }
  // A view of the first `count` columns of the tensor seen as a matrix: the rest of each row is a gap.
  ConstTensor columns(uint32_t count) const {
    CHECK(count <= cols(), "{} columns of {}", count, shape_.to_string());
    ConstTensor view(*this);
    view.shape_ = Shape{rows(), count};
    view.row_stride_ = row_stride();
    return view;
  }

  operator In<float>() const { return {typed_slice(DType::f32)}; }
  operator In<uint32_t>() const { return {typed_slice(DType::u32)}; }
  // For kernels whose element type is a specialization constant.
  operator In<Real>() const { return {real_slice()}; }

 protected:
  Slice real_slice() const {
    CHECK(!slice_ || dtype_ != DType::u32, "a tensor of shape {} holds integers", shape_.to_string());
    return slice_ ? slice_.sub(0, size_bytes()) : slice_;
  }
  Slice typed_slice(DType wanted) const {
    CHECK(!slice_ || dtype_ == wanted, "a tensor of shape {} has the wrong element type", shape_.to_string());
    return slice_ ? slice_.sub(0, size_bytes()) : slice_;
  }
  Slice slice_;
  Shape shape_;
  DType dtype_ = DType::f32;
  uint32_t row_stride_ = 0;  // 0: cols()
};

// Writable memory.
class Tensor : public ConstTensor {
 public:
  using ConstTensor::ConstTensor;

  Tensor reshaped(Shape shape) const { return as_writable(ConstTensor::reshaped(shape)); }
  Tensor row_range(uint32_t first, uint32_t count) const { return as_writable(ConstTensor::row_range(first, count)); }
  Tensor range(uint32_t first, uint32_t count) const { return as_writable(ConstTensor::range(first, count)); }
  Tensor columns(uint32_t count) const { return as_writable(ConstTensor::columns(count)); }

  // The same memory for a kernel that writes only its part of it: Slice::part().
  Tensor part(uint32_t number) const {
    Tensor part(*this);
    part.slice_ = slice_.part(number);
    return part;
  }

  operator Out<float>() const { return {typed_slice(DType::f32)}; }
  operator Out<uint32_t>() const { return {typed_slice(DType::u32)}; }
  operator InOut<float>() const { return {typed_slice(DType::f32)}; }
  operator InOut<uint32_t>() const { return {typed_slice(DType::u32)}; }
  operator Out<Real>() const { return {real_slice()}; }
  operator InOut<Real>() const { return {real_slice()}; }

 private:
  static Tensor as_writable(const ConstTensor& view) {
    Tensor tensor;
    static_cast<ConstTensor&>(tensor) = view;
    return tensor;
  }
};

inline Tensor reserve_tensor(Arena& arena, Shape shape, const std::string& kind, DType dtype = DType::f32) {
  return {arena.reserve(shape.elements() * size_bytes(dtype), kind), shape, dtype};
}

// Row stride in elements for a matrix whose layout is free: an odd number of 64-byte cache lines. With an even number
// (2048 columns, for example) the rows that a gather reads together map to few cache sets and evict each other: a
// weight gradient on lavapipe ran at 46 to 53 GFLOP/s with a stride of 2048 and at 65 to 74 with 2064
// (lapilli bench matmul --m 2048 --n 256 --k 1024 --layout tn, and --m 2064).
inline uint64_t padded_row_stride(uint64_t cols) {
  constexpr uint64_t kLine = 64 / sizeof(float);
  return (ceil_div(cols, kLine) | 1) * kLine;
}

}  // namespace lapilli
