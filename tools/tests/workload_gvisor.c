/* What a sandbox runs in the tests of its recording. How often each call is made is known to them.
 *
 *   workload tour        files, descriptors, sockets, processes, threads, and calls that fail
 *   workload storm MS    the cheapest call, for so many milliseconds
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void must(int condition, const char *what)
{
	if (condition)
		return;
	perror(what);
	exit(1);
}

static void fails(int result, int wanted, const char *what)
{
	if (result == -1 && errno == wanted)
		return;
	fprintf(stderr, "%s: %d, errno %d, wanted errno %d\n", what, result, errno, wanted);
	exit(1);
}

static void files(void)
{
	char name[64], other[64];

	for (int i = 0; i < 5; i++) {
		snprintf(name, sizeof name, "/tmp/missing-%d", i);
		fails(open(name, O_RDONLY), ENOENT, name);
	}
	for (int i = 0; i < 3; i++) {
		snprintf(name, sizeof name, "/tmp/made-%d", i);
		int fd = open(name, O_CREAT | O_WRONLY | O_TRUNC, 0640);
		must(fd >= 0, name);
		must(write(fd, "12345", 5) == 5, "write");
		must(close(fd) == 0, "close");
		snprintf(other, sizeof other, "/tmp/renamed-%d", i);
		must(rename(name, other) == 0, "rename");
		must(unlink(other) == 0, "unlink");
		snprintf(name, sizeof name, "/tmp/folder-%d", i);
		must(mkdir(name, 0750) == 0, "mkdir");
	}
	fails(mkdir("/tmp/folder-0", 0750), EEXIST, "mkdir");
	must(chdir("/tmp/folder-1") == 0, "chdir");
	fails(chdir("/tmp/nowhere"), ENOENT, "chdir");
	must(chdir("/") == 0, "chdir");
}

static void descriptors(void)
{
	int ends[2];
	char byte;

	must(pipe(ends) == 0, "pipe");
	for (int i = 0; i < 4; i++) {
		int fd = dup(ends[0]);
		must(fd >= 0, "dup");
		must(close(fd) == 0, "close");
	}
	must(write(ends[1], "x", 1) == 1 && read(ends[0], &byte, 1) == 1, "pipe");
	must(close(ends[0]) == 0 && close(ends[1]) == 0, "close");
	fails(dup(4711), EBADF, "dup");
}

static void sockets(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_un nobody = { .sun_family = AF_UNIX, .sun_path = "/tmp/nobody" };
	int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);

	must(listener >= 0 && client >= 0, "socket");
	at.sin_port = htons(4242);
	must(bind(listener, (void *)&at, sizeof at) == 0, "bind");
	must(listen(listener, 4) == 0, "listen");
	must(connect(client, (void *)&at, sizeof at) == 0, "connect");
	int server = accept(listener, NULL, NULL);
	must(server >= 0, "accept");
	must(write(client, "hello", 5) == 5, "write");
	close(server);
	close(client);
	close(listener);

	int refused = socket(AF_INET, SOCK_STREAM, 0);
	at.sin_port = htons(4243);
	fails(connect(refused, (void *)&at, sizeof at), ECONNREFUSED, "connect");
	close(refused);
	int local = socket(AF_UNIX, SOCK_STREAM, 0);
	fails(connect(local, (void *)&nobody, sizeof nobody), ENOENT, "connect");
	close(local);
}

static void ended(pid_t child, int code)
{
	int status;

	must(child > 0 && waitpid(child, &status, 0) == child, "waitpid");
	must(WIFEXITED(status) && WEXITSTATUS(status) == code, "status");
}

static void processes(void)
{
	char *no_args[] = { "absent", NULL };
	char *args[] = { "true", "an argument", NULL };
	char *env[] = { "KEY=value", NULL };

	for (int i = 0; i < 3; i++) {
		pid_t child = fork();
		if (child == 0)
			_exit(10 + i);
		ended(child, 10 + i);
	}
	fails(execve("/no/such/program", no_args, env), ENOENT, "execve");
	pid_t child = fork();
	if (child == 0) {
		execve("/bin/true", args, env);
		_exit(99);
	}
	ended(child, 0);
}

static void *of_thread(void *name)
{
	fails(open(name, O_RDONLY), ENOENT, name);
	return NULL;
}

static void threads(void)
{
	pthread_t all[2];
	char *names[] = { "/tmp/thread-0", "/tmp/thread-1" };

	for (int i = 0; i < 2; i++) {
		must(pthread_create(&all[i], NULL, of_thread, names[i]) == 0, "pthread_create");
		must(pthread_join(all[i], NULL) == 0, "pthread_join");
	}
}

static long long now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return at.tv_sec * 1000LL + at.tv_nsec / 1000000;
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "tour") == 0) {
		files();
		descriptors();
		sockets();
		processes();
		threads();
		return 0;
	}
	if (argc == 3 && strcmp(argv[1], "storm") == 0) {
		long long until = now() + atoll(argv[2]);
		while (now() < until)
			close(4711);
		return 0;
	}
	return 2;
}
