// Included in every C file of the library for Linux (gcc -include).
//
// glibc 2.34 moved the functions of libpthread into libc under new versions, so a library linked on a
// newer system would require glibc 2.34 although it uses nothing new. The directives bind these
// functions to their first versions. Every later glibc keeps those, as the same code. Before 2.34 they
// are in libpthread.so.0; the library names it as needed, and since 2.34 it is an empty file that glibc
// installs for this purpose.
//
// A function that is missing here, and any new one that Go's runtime starts to use, costs only
// portability: the wheel's tag is computed from the versions that the finished library requires.

// Go's C files define _GNU_SOURCE before they include a header, so none may be included here.
#if defined(__gnu_linux__) && !defined(__ASSEMBLER__)
#if defined(__x86_64__)
#define PROPOSER_GLIBC "GLIBC_2.2.5"
#elif defined(__aarch64__)
#define PROPOSER_GLIBC "GLIBC_2.17"
#endif
#endif

#ifdef PROPOSER_GLIBC
#define PROPOSER_BIND(function) __asm__(".symver " #function "," #function "@" PROPOSER_GLIBC)
PROPOSER_BIND(pthread_attr_getstack);
PROPOSER_BIND(pthread_attr_getstacksize);
PROPOSER_BIND(pthread_create);
PROPOSER_BIND(pthread_detach);
PROPOSER_BIND(pthread_getattr_np);
PROPOSER_BIND(pthread_getspecific);
PROPOSER_BIND(pthread_join);
PROPOSER_BIND(pthread_key_create);
PROPOSER_BIND(pthread_key_delete);
PROPOSER_BIND(pthread_once);
PROPOSER_BIND(pthread_setspecific);
PROPOSER_BIND(pthread_sigmask);
#undef PROPOSER_BIND
#undef PROPOSER_GLIBC
#endif
