/* jni_support.h - what all of our native methods need. */
#ifndef JNI_SUPPORT_H
#define JNI_SUPPORT_H

#include <jni.h>
#include <stddef.h>
#include <stdint.h>

/* The Kotlin object whose external functions these are: dev.bayespress.model.Native. */
#define NATIVE(result, name, ...)                                                                                      \
    JNIEXPORT result JNICALL Java_dev_bayespress_model_Native_##name(JNIEnv *env, jobject self, __VA_ARGS__);          \
    JNIEXPORT result JNICALL Java_dev_bayespress_model_Native_##name(JNIEnv *env, jobject self, __VA_ARGS__)

/* Throw a BundleException of one sentence, unless another exception is pending already. */
void throw_bundle_exception(JNIEnv *env, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A copy of a Java array's bytes, to be freed; NULL, with an exception pending, where there is no memory. */
void *copy_of(JNIEnv *env, jbyteArray array, size_t *size);

/* A Java string of a driver's or a library's text; NULL with an exception pending where there is no memory. */
jstring string_of(JNIEnv *env, const char *text);

/* An array of so many strings; NULL where there cannot be one. */
jobjectArray strings_of(JNIEnv *env, size_t count);

/* Whether a Java array has at least `count` places. */
int has_length(JNIEnv *env, jarray array, uint64_t count);

#endif /* JNI_SUPPORT_H */
