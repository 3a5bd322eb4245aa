/* Shifts what the wall clock says to one process: preloaded, it adds the seconds that a file holds.
 * Monotonic clocks are left alone, as a jump of the machine's time leaves them. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

typedef int (*reader)(clockid_t, struct timespec *);

static reader real;
static volatile const long long *shift;

__attribute__((constructor)) static void open_shift(void) {
    const char *name = getenv("CLOCK_SHIFT_FILE");
    int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    real = (reader)dlsym(RTLD_NEXT, "clock_gettime");
    if (file >= 0) {
        void *page = mmap(0, sizeof *shift, PROT_READ, MAP_SHARED, file, 0);
        if (page != MAP_FAILED)
            shift = page;
    }
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    if (!real)
        real = (reader)dlsym(RTLD_NEXT, "clock_gettime");
    int told = real(clock, now);
    if (!told && shift && clock == CLOCK_REALTIME)
        now->tv_sec += *shift;
    return told;
}
