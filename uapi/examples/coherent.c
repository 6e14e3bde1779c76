// SPDX-License-Identifier: GPL-2.0
/*
 * Shares a page with an importer, without brackets where that is possible. Works
 * with the C driver, too, which knows brackets only.
 * cc -Iuapi uapi/examples/coherent.c
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/dma-buf.h>
#include <linux/udmabuf.h>

/*
 * Hands the buffer to an importer; -1 if it is not for its device. The kernel's
 * error is EOPNOTSUPP, of which libraries may make another one.
 */
typedef int import_fn(int buffer);

static int make(int node, uint32_t mode, const struct udmabuf_create_item *item)
{
	struct udmabuf_create_ext request = {
		.flags = UDMABUF_FLAGS_CLOEXEC, .mode = mode, .count = 1, .items = (uintptr_t)item,
	};
	struct udmabuf_create simple = {
		.memfd = item->memfd, .flags = UDMABUF_FLAGS_CLOEXEC,
		.offset = item->offset, .size = item->size,
	};

	if (mode == UDMABUF_MODE_DMA_API)
		return ioctl(node, UDMABUF_CREATE, &simple);
	return ioctl(node, UDMABUF_CREATE_EXT, &request);
}

static int share(int node, const struct udmabuf_create_item *item, import_fn *import)
{
	static const uint32_t modes[] = { UDMABUF_MODE_CPU_COHERENT, UDMABUF_MODE_DMA_API };

	for (size_t i = 0; i < 2; i++) {
		int buffer = make(node, modes[i], item);

		if (buffer < 0)
			continue;
		if (import(buffer) == 0)
			return buffer;
		close(buffer);	/* Not for this device. Next: the same pages, and brackets. */
	}
	return -1;
}

/* Whether brackets move data, or may do so before another device attaches. Asked after each import. */
static int needs_brackets(int node, int buffer)
{
	struct udmabuf_query query = { .fd = buffer };

	return ioctl(node, UDMABUF_QUERY, &query) < 0 || query.state & UDMABUF_STATE_MAY_SYNC;
}

static int sync_part(int node, int buffer, uint32_t flags, uint64_t offset, uint64_t length)
{
	struct udmabuf_sync_range part = {
		.fd = buffer, .flags = flags, .offset = offset, .length = length,
	};
	int status;

	do
		status = ioctl(node, UDMABUF_SYNC_RANGE, &part);
	while (status < 0 && (errno == EINTR || errno == EAGAIN));
	if (status < 0 && errno == ENOTTY) {
		struct dma_buf_sync all = { .flags = flags };

		do
			status = ioctl(buffer, DMA_BUF_IOCTL_SYNC, &all);
		while (status < 0 && (errno == EINTR || errno == EAGAIN));
	}
	return status;
}

/* What START does besides: devices have finished. POLLIN would do before reading. */
static int wait_to_write(int buffer)
{
	struct pollfd fences = { .fd = buffer, .events = POLLOUT };

	return poll(&fences, 1, -1) < 0;
}

/* An importer's own call is here, such as DRM_IOCTL_PRIME_FD_TO_HANDLE. */
static int import(int buffer)
{
	return buffer < 0 ? -1 : 0;
}

static int fail(const char *what)
{
	perror(what);
	return 1;
}

int main(void)
{
	static const char text[] = "coherent";
	size_t size = sysconf(_SC_PAGESIZE), length = sizeof(text);
	int node = open("/dev/udmabuf-rs", O_RDWR | O_CLOEXEC);
	int memfd = memfd_create("example", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct udmabuf_create_item item = { .memfd = memfd, .size = size };
	int buffer, brackets;
	char *memory;

	if (node < 0)
		node = open("/dev/udmabuf", O_RDWR | O_CLOEXEC);
	if (node < 0)
		return fail("/dev/udmabuf");
	if (memfd < 0 || ftruncate(memfd, size) < 0 || fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK) < 0)
		return fail("memfd");
	buffer = share(node, &item, import);
	if (buffer < 0)
		return fail("sharing");
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, buffer, 0);
	if (memory == MAP_FAILED)
		return fail("mmap");

	brackets = needs_brackets(node, buffer);
	if (brackets ? sync_part(node, buffer, DMA_BUF_SYNC_START | DMA_BUF_SYNC_WRITE, 0, length)
		     : wait_to_write(buffer))
		return fail("START");
	memcpy(memory, text, length);
	if (brackets && sync_part(node, buffer, DMA_BUF_SYNC_END | DMA_BUF_SYNC_WRITE, 0, length))
		return fail("END");
	printf("%zu bytes for the importer, %s brackets\n", length, brackets ? "in" : "without");
	return 0;
}
