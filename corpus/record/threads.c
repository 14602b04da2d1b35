/* Two hundred threads that hand one token around through pipes, and count under one lock. */
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

enum { THREADS = 200, ROUNDS = 2 };

static int pipes[THREADS][2];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ended = PTHREAD_COND_INITIALIZER;
static long passed, left = THREADS;

static void *station(void *arg)
{
    long n = (long)arg;
    for (int round = 0; round < ROUNDS; round++) {
        char token;
        if (read(pipes[n][0], &token, 1) != 1 || write(pipes[(n + 1) % THREADS][1], &token, 1) != 1) {
            break;
        }
        pthread_mutex_lock(&lock);
        passed++;
        pthread_mutex_unlock(&lock);
    }
    pthread_mutex_lock(&lock);
    left--;
    pthread_cond_signal(&ended);
    pthread_mutex_unlock(&lock);
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 64 * 1024);
    for (long n = 0; n < THREADS; n++) {
        if (pipe(pipes[n]) != 0) {
            return 1;
        }
    }
    for (long n = 0; n < THREADS; n++) {
        if (pthread_create(&threads[n], &small, station, (void *)n) != 0) {
            return 1;
        }
    }
    if (write(pipes[0][1], "t", 1) != 1) {
        return 1;
    }
    pthread_mutex_lock(&lock);
    while (left > 0) {
        pthread_cond_wait(&ended, &lock);
    }
    pthread_mutex_unlock(&lock);
    for (long n = 0; n < THREADS; n++) {
        pthread_join(threads[n], NULL);
    }
    printf("%ld\n", passed);
    return passed == THREADS * ROUNDS ? 0 : 1;
}
