// Texts and exceptions across JNI. For use on the JVM's thread.
#pragma once

#include <jni.h>

#include <string>

namespace deisa {

// UTF-8 to Java, by way of String's constructor: JNI's own functions take another encoding, and may
// crash on bytes that are not valid in it. A local reference. Throws Error.
jstring to_java(JNIEnv* env, const std::string& text);
// Java to UTF-8. "" for null. Throws Error.
std::string from_java(JNIEnv* env, jstring text);

// Takes a pending exception away and returns its toString(); "" when there was none. Never throws.
std::string take_exception(JNIEnv* env) noexcept;
// Throws Error(DEISA_ERROR_INTERNAL) "`what`: exception" when an exception is pending.
void check_exception(JNIEnv* env, const char* what);

// Frees the local references made in a scope: the JVM's thread never returns to Java.
class LocalFrame {
 public:
  explicit LocalFrame(JNIEnv* env);
  ~LocalFrame() {
    if (pushed_) env_->PopLocalFrame(nullptr);
  }
  LocalFrame(const LocalFrame&) = delete;
  LocalFrame& operator=(const LocalFrame&) = delete;

 private:
  JNIEnv* env_;
  bool pushed_;
};

}  // namespace deisa
