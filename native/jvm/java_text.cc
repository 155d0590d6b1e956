#include "jvm/java_text.hpp"

#include <vector>

#include "base/error.hpp"

namespace deisa {
namespace {

std::string bytes_of(JNIEnv* env, jstring text) {
  jclass string_class = env->FindClass("java/lang/String");
  if (string_class == nullptr) return "";
  jmethodID get = env->GetMethodID(string_class, "getBytes", "(Ljava/lang/String;)[B");
  jstring utf8 = env->NewStringUTF("UTF-8");
  if (get == nullptr || utf8 == nullptr) return "";
  auto bytes = static_cast<jbyteArray>(env->CallObjectMethod(text, get, utf8));
  if (bytes == nullptr || env->ExceptionCheck()) return "";
  std::string result(static_cast<size_t>(env->GetArrayLength(bytes)), '\0');
  env->GetByteArrayRegion(bytes, 0, static_cast<jsize>(result.size()),
                          reinterpret_cast<jbyte*>(result.data()));
  return result;
}

}  // namespace

jstring to_java(JNIEnv* env, const std::string& text) {
  jclass string_class = env->FindClass("java/lang/String");
  check_exception(env, "finding String");
  jmethodID make = env->GetMethodID(string_class, "<init>", "([BLjava/lang/String;)V");
  check_exception(env, "finding String's constructor");
  jbyteArray bytes = env->NewByteArray(static_cast<jsize>(text.size()));
  check_exception(env, "making an array");
  env->SetByteArrayRegion(bytes, 0, static_cast<jsize>(text.size()),
                          reinterpret_cast<const jbyte*>(text.data()));
  jstring utf8 = env->NewStringUTF("UTF-8");
  check_exception(env, "making a text");
  auto made = static_cast<jstring>(env->NewObject(string_class, make, bytes, utf8));
  check_exception(env, "making a text");
  return made;
}

std::string from_java(JNIEnv* env, jstring text) {
  if (text == nullptr) return "";
  std::string result = bytes_of(env, text);
  check_exception(env, "reading a text");
  return result;
}

std::string take_exception(JNIEnv* env) noexcept {
  jthrowable exception = env->ExceptionOccurred();
  if (exception == nullptr) return "";
  env->ExceptionClear();
  std::string text;
  try {
    jclass object_class = env->FindClass("java/lang/Object");
    jmethodID to_string = object_class == nullptr
                              ? nullptr
                              : env->GetMethodID(object_class, "toString", "()Ljava/lang/String;");
    if (to_string != nullptr) {
      auto said = static_cast<jstring>(env->CallObjectMethod(exception, to_string));
      if (said != nullptr && !env->ExceptionCheck()) text = bytes_of(env, said);
    }
  } catch (const std::exception&) {
    text.clear();
  }
  env->ExceptionClear();  // one that was thrown while asking
  return text.empty() ? "an exception without a text" : text;
}

void check_exception(JNIEnv* env, const char* what) {
  if (env->ExceptionCheck()) {
    throw Error(DEISA_ERROR_INTERNAL, std::string("Java: ") + what + ": " + take_exception(env));
  }
}

LocalFrame::LocalFrame(JNIEnv* env) : env_(env), pushed_(env->PushLocalFrame(32) == 0) {
  if (!pushed_) check_exception(env, "making a frame");
}

}  // namespace deisa
