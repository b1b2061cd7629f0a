# os: what differs by platform.
noinst_LIBRARIES += libtkos.a
libtkos_a_SOURCES = \
	src/os/file.c src/os/file.h \
	src/os/poll.h src/os/poll_epoll.c \
	src/os/proctitle.h src/os/proctitle_linux.c \
	src/os/sendfile.h src/os/sendfile_linux.c \
	src/os/shm.h src/os/shm_linux.c \
	src/os/unix.c src/os/unix.h
