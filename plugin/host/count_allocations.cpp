// Preloaded into a host: counts what a real-time thread must not do while counting is on, calls of
// the allocator and of mutexes. glibc only.
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stddef.h>

extern "C" {

void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
void __libc_free(void*);

static bool counting = false;
static long counted = 0;

void count_allocations(bool on) { counting = on; }
long allocations_counted() { return counted; }

void* malloc(size_t size) {
  counted += counting;
  return __libc_malloc(size);
}
void* calloc(size_t n, size_t size) {
  counted += counting;
  return __libc_calloc(n, size);
}
void* realloc(void* old, size_t size) {
  counted += counting;
  return __libc_realloc(old, size);
}
void* memalign(size_t alignment, size_t size) {
  counted += counting;
  return __libc_memalign(alignment, size);
}
void* aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }
int posix_memalign(void** to, size_t alignment, size_t size) {
  *to = memalign(alignment, size);
  return *to != nullptr ? 0 : ENOMEM;
}
void free(void* block) {
  counted += counting && block != nullptr;
  __libc_free(block);
}
int pthread_mutex_lock(pthread_mutex_t* mutex) {
  static auto* real =
      reinterpret_cast<int (*)(pthread_mutex_t*)>(dlsym(RTLD_NEXT, "pthread_mutex_lock"));
  counted += counting;
  return real(mutex);
}
int pthread_mutex_trylock(pthread_mutex_t* mutex) {
  static auto* real =
      reinterpret_cast<int (*)(pthread_mutex_t*)>(dlsym(RTLD_NEXT, "pthread_mutex_trylock"));
  counted += counting;
  return real(mutex);
}
}
