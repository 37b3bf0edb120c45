/* jni_support.c - exceptions and arrays. */
#include "jni_support.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Bytes of files and drivers may not be text, and JNI's strings use a modified UTF-8; ASCII is valid in both. */
static void make_ascii(char *text) {
    for (; *text != '\0'; text++) {
        if (*text < ' ' || *text > '~') {
            *text = '?';
        }
    }
}

jstring string_of(JNIEnv *env, const char *text) {
    char copy[400];
    snprintf(copy, sizeof copy, "%s", text != NULL ? text : "");
    make_ascii(copy);
    return (*env)->NewStringUTF(env, copy);
}

jobjectArray strings_of(JNIEnv *env, size_t count) {
    jclass type = count <= INT32_MAX ? (*env)->FindClass(env, "java/lang/String") : NULL;
    return type != NULL ? (*env)->NewObjectArray(env, (jsize)count, type, NULL) : NULL;
}

int has_length(JNIEnv *env, jarray array, uint64_t count) {
    return array != NULL && (uint64_t)(*env)->GetArrayLength(env, array) >= count;
}

void throw_bundle_exception(JNIEnv *env, const char *format, ...) {
    char sentence[600];
    jclass type;
    va_list arguments;
    if ((*env)->ExceptionCheck(env)) { /* only the first error is reported */
        return;
    }
    type = (*env)->FindClass(env, "dev/bayespress/model/BundleException");
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    make_ascii(sentence);
    if (type != NULL) { /* otherwise FindClass has left a pending exception */
        (*env)->ThrowNew(env, type, sentence);
        (*env)->DeleteLocalRef(env, type);
    }
}

void *copy_of(JNIEnv *env, jbyteArray array, size_t *size) {
    const jsize length = array != NULL ? (*env)->GetArrayLength(env, array) : 0;
    void *copy = malloc((size_t)length + 1);
    *size = (size_t)length;
    if (copy == NULL) {
        throw_bundle_exception(env, "There is not enough memory for %ld bytes; close other apps.", (long)length);
        return NULL;
    }
    if (length > 0) {
        (*env)->GetByteArrayRegion(env, array, 0, length, copy);
    }
    return copy;
}
