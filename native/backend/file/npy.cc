#include "backend/file/npy.hpp"

#include "base/error.hpp"
#include "chunk/dtype.hpp"

namespace deisa {
namespace {

char kind_of(deisa_dtype dtype) {
  switch (dtype) {
    case DEISA_BOOL:
      return 'b';
    case DEISA_INT8:
    case DEISA_INT16:
    case DEISA_INT32:
    case DEISA_INT64:
      return 'i';
    case DEISA_UINT8:
    case DEISA_UINT16:
    case DEISA_UINT32:
    case DEISA_UINT64:
      return 'u';
    case DEISA_FLOAT16:
    case DEISA_FLOAT32:
    case DEISA_FLOAT64:
      return 'f';
    case DEISA_COMPLEX64:
    case DEISA_COMPLEX128:
      return 'c';
  }
  throw Error(DEISA_ERROR_INTERNAL, "no dtype of NumPy");
}

}  // namespace

std::string npy_header(deisa_dtype dtype, const std::vector<int64_t>& shape) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  const char order = '<';
#else
  const char order = '>';
#endif
  const size_t bytes = dtype_size(dtype);
  std::string text = "{'descr': '";
  text += bytes == 1 ? '|' : order;
  text += kind_of(dtype) + std::to_string(bytes) + "', 'fortran_order': False, 'shape': (";
  for (const int64_t extent : shape) text += std::to_string(extent) + ",";
  text += "), }";
  constexpr size_t kBefore = 10;  // magic, version, length
  text.append(63 - (kBefore + text.size()) % 64, ' ');
  text += '\n';
  const size_t length = text.size();  // 32 dimensions need far less than 64 KiB
  return std::string("\x93NUMPY\x01\x00", 8) + static_cast<char>(length & 0xff) +
         static_cast<char>(length >> 8) + text;
}

}  // namespace deisa
