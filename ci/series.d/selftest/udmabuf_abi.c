// SPDX-License-Identifier: GPL-2.0
/*
 * What /dev/udmabuf-rs adds to the ABI of /dev/udmabuf, as far as it can be tested
 * without an importer: Documentation/userspace-api/udmabuf.rst says what it means.
 */
#define _GNU_SOURCE
#define __EXPORTED_HEADERS__

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <sys/ioctl.h>
#include <sys/mman.h>

#include <linux/dma-buf.h>
#include <linux/memfd.h>
#include <linux/udmabuf.h>

#include "kselftest_harness.h"

#define PAGES	4

FIXTURE(node) {
	int node;
	int memfd;
	uint64_t size;
};

FIXTURE_SETUP(node)
{
	self->node = open("/dev/udmabuf-rs", O_RDWR | O_CLOEXEC);
	if (self->node < 0 && errno == ENOENT)
		SKIP(return, "no /dev/udmabuf-rs: CONFIG_UDMABUF_RUST");
	if (self->node < 0 && errno == EACCES)
		SKIP(return, "/dev/udmabuf-rs may not be opened");
	ASSERT_GE(self->node, 0);

	self->size = (uint64_t)PAGES * sysconf(_SC_PAGESIZE);
	self->memfd = memfd_create("udmabuf-abi", MFD_ALLOW_SEALING | MFD_CLOEXEC);
	ASSERT_GE(self->memfd, 0);
	ASSERT_EQ(0, ftruncate(self->memfd, self->size));
	ASSERT_EQ(0, fcntl(self->memfd, F_ADD_SEALS, F_SEAL_SHRINK));
}

FIXTURE_TEARDOWN(node)
{
	close(self->memfd);
	close(self->node);
}

/* A buffer of the whole memfd in a mode; -1 and errno. */
static int create_ext(FIXTURE_DATA(node) *self, uint32_t mode, uint32_t flags, uint32_t reserved)
{
	struct udmabuf_create_item item = { .memfd = self->memfd, .size = self->size };
	struct udmabuf_create_ext request = {
		.flags = UDMABUF_FLAGS_CLOEXEC | flags,
		.mode = mode,
		.count = 1,
		.reserved = reserved,
		.items = (uintptr_t)&item,
	};

	return ioctl(self->node, UDMABUF_CREATE_EXT, &request);
}

static int sync_range(FIXTURE_DATA(node) *self, int buffer, uint32_t flags, uint64_t offset,
		      uint64_t length)
{
	struct udmabuf_sync_range range = {
		.fd = buffer, .flags = flags, .offset = offset, .length = length,
	};

	return ioctl(self->node, UDMABUF_SYNC_RANGE, &range);
}

TEST_F(node, a_query_without_a_buffer_tells_of_the_driver)
{
	struct udmabuf_query query = { .fd = -1 };

	ASSERT_EQ(0, ioctl(self->node, UDMABUF_QUERY, &query));
	EXPECT_EQ(1, query.version);
	EXPECT_TRUE(query.modes & 1 << UDMABUF_MODE_DMA_API);
	EXPECT_TRUE(query.modes & 1 << UDMABUF_MODE_CPU_COHERENT);
	EXPECT_FALSE(query.modes & 1 << UDMABUF_MODE_MEMORY_COHERENT);
	EXPECT_TRUE(query.calls & 1 << (_IOC_NR(UDMABUF_CREATE) - 0x40));
	EXPECT_TRUE(query.calls & 1 << (_IOC_NR(UDMABUF_SYNC_RANGE) - 0x40));
	EXPECT_EQ(0, query.size);
}

TEST_F(node, a_buffer_that_nobody_has_attached_needs_no_brackets)
{
	int buffer = create_ext(self, UDMABUF_MODE_DMA_API, 0, 0);
	struct udmabuf_query query = { .fd = buffer };

	ASSERT_GE(buffer, 0);
	ASSERT_EQ(0, ioctl(self->node, UDMABUF_QUERY, &query));
	EXPECT_EQ(self->size, query.size);
	EXPECT_EQ(UDMABUF_MODE_DMA_API, query.mode);
	EXPECT_EQ(0, query.state);
	EXPECT_EQ(0, query.coherent + query.cache + query.shadow + query.own_operations);
	EXPECT_EQ(0, query.start_bytes + query.end_bytes);
	EXPECT_GE(query.extents, 1);
	EXPECT_LE(query.extents, PAGES);
	close(buffer);
}

TEST_F(node, modes_are_kept_and_others_refused)
{
	static const uint32_t offered[] = {
		UDMABUF_MODE_DMA_API, UDMABUF_MODE_CPU_COHERENT, UDMABUF_MODE_ATOMIC_COHERENT,
	};

	for (size_t i = 0; i < ARRAY_SIZE(offered); i++) {
		int buffer = create_ext(self, offered[i], 0, 0);
		struct udmabuf_query query = { .fd = buffer };

		ASSERT_GE(buffer, 0);
		ASSERT_EQ(0, ioctl(self->node, UDMABUF_QUERY, &query));
		EXPECT_EQ(offered[i], query.mode);
		close(buffer);
	}

	EXPECT_EQ(-1, create_ext(self, UDMABUF_MODE_MEMORY_COHERENT, 0, 0));
	EXPECT_EQ(EOPNOTSUPP, errno);
	EXPECT_EQ(-1, create_ext(self, UDMABUF_MODE_MEMORY_COHERENT + 1, 0, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, create_ext(self, UDMABUF_MODE_DMA_API, 1U << 31, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, create_ext(self, UDMABUF_MODE_DMA_API, 0, 1));
	EXPECT_EQ(EINVAL, errno);
}

TEST_F(node, a_range_lies_within_the_buffer)
{
	int buffer = create_ext(self, UDMABUF_MODE_DMA_API, 0, 0);

	ASSERT_GE(buffer, 0);
	EXPECT_EQ(0, sync_range(self, buffer, DMA_BUF_SYNC_START | DMA_BUF_SYNC_RW, 1, 2));
	EXPECT_EQ(0, sync_range(self, buffer, DMA_BUF_SYNC_END | DMA_BUF_SYNC_RW, 1, 2));
	EXPECT_EQ(0, sync_range(self, buffer, DMA_BUF_SYNC_START | DMA_BUF_SYNC_RW, self->size, 0));
	EXPECT_EQ(-1, sync_range(self, buffer, DMA_BUF_SYNC_START | DMA_BUF_SYNC_RW,
				 self->size, 1));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, sync_range(self, buffer, DMA_BUF_SYNC_START | DMA_BUF_SYNC_RW,
				 UINT64_MAX, 2));
	EXPECT_EQ(EINVAL, errno);
	close(buffer);
}

TEST_F(node, others_buffers_are_not_answered_for)
{
	struct udmabuf_query query = { .fd = self->memfd };

	EXPECT_EQ(-1, ioctl(self->node, UDMABUF_QUERY, &query));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, sync_range(self, self->memfd, DMA_BUF_SYNC_START | DMA_BUF_SYNC_RW, 0, 1));
	EXPECT_EQ(EINVAL, errno);
}

TEST_F(node, buffer_and_memfd_are_the_same_memory)
{
	int buffer = create_ext(self, UDMABUF_MODE_DMA_API, UDMABUF_FLAGS_AUTO_SYNC, 0);
	struct udmabuf_query query = { .fd = buffer };
	uint64_t found = 0;
	uint64_t *mapped;

	ASSERT_GE(buffer, 0);
	ASSERT_EQ(0, ioctl(self->node, UDMABUF_QUERY, &query));
	EXPECT_EQ(UDMABUF_STATE_AUTO_SYNC, query.state);
	mapped = mmap(NULL, self->size, PROT_READ | PROT_WRITE, MAP_SHARED, buffer, 0);
	ASSERT_NE(MAP_FAILED, (void *)mapped);
	mapped[0] = 0x1122334455667788;
	ASSERT_EQ(sizeof(found), pread(self->memfd, &found, sizeof(found), 0));
	EXPECT_EQ(mapped[0], found);
	munmap(mapped, self->size);
	close(buffer);
}

TEST_HARNESS_MAIN
