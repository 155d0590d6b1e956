#include "value_text.h"

#include <string.h>

static void print_hex(FILE* to, const void* data, size_t size) {
  const unsigned char* bytes = data;
  fputc('"', to);
  for (size_t i = 0; i < size; ++i) fprintf(to, "%02x", bytes[i]);
  fputc('"', to);
}

static void print_array(FILE* to, const deisa_value* value) {
  static const char* const names[] = {"",        "bool",    "int8",    "int16",     "int32",
                                      "int64",   "uint8",   "uint16",  "uint32",    "uint64",
                                      "float16", "float32", "float64", "complex64", "complex128"};
  fprintf(to, "{\"array\":[\"%s\",[", names[value->dtype]);
  for (int32_t d = 0; d < value->ndim; ++d) {
    fprintf(to, "%s%lld", d > 0 ? "," : "", (long long)value->shape[d]);
  }
  fprintf(to, "],");
  print_hex(to, value->data, value->size);
  fprintf(to, "]}");
}

void print_value(FILE* to, const deisa_value* value) {
  uint64_t bits = 0;
  switch (value->kind) {
    case DEISA_VALUE_NULL:
      fputs("null", to);
      break;
    case DEISA_VALUE_BOOL:
      fputs(value->integer ? "true" : "false", to);
      break;
    case DEISA_VALUE_INTEGER:
      fprintf(to, "%lld", (long long)value->integer);
      break;
    case DEISA_VALUE_UNSIGNED:
      fprintf(to, "%llu", (unsigned long long)value->unsigned_integer);
      break;
    case DEISA_VALUE_NUMBER:
      memcpy(&bits, &value->number, sizeof(bits));
      fprintf(to, "{\"number\":\"%016llx\"}", (unsigned long long)bits);
      break;
    case DEISA_VALUE_STRING:
    case DEISA_VALUE_BYTES:
    case DEISA_VALUE_PICKLE: /* without deisa_use_pickle there is none */
      fputs(value->kind == DEISA_VALUE_STRING ? "{\"text\":" : "{\"bytes\":", to);
      print_hex(to, value->data, value->size);
      fputc('}', to);
      break;
    case DEISA_VALUE_LIST:
      fputc('[', to);
      for (size_t i = 0; i < value->size; ++i) {
        if (i > 0) fputc(',', to);
        print_value(to, &value->items[i]);
      }
      fputc(']', to);
      break;
    case DEISA_VALUE_MAP:
      fputs("{\"map\":[", to);
      for (size_t i = 0; i < value->size; ++i) {
        fputs(i > 0 ? ",[" : "[", to);
        print_hex(to, value->keys[i], strlen(value->keys[i]));
        fputc(',', to);
        print_value(to, &value->items[i]);
        fputc(']', to);
      }
      fputs("]}", to);
      break;
    case DEISA_VALUE_ARRAY:
      print_array(to, value);
      break;
  }
}
