/* What limits memory, read from folders that look like those of a system. */
#include "cli/memory_limit.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/test.h"

#define MIB (1ULL << 20)

/* Writes a file below the test's folder, and makes the folders above it. */
static void put(const char *path, const char *text)
{
    char whole[1024];
    snprintf(whole, sizeof whole, "%s/%s", test_folder(), path);
    for (char *slash = strchr(whole + strlen(test_folder()) + 1, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        CHECK(mkdir(whole, 0700) == 0 || errno == EEXIST);
        *slash = '/';
    }
    FILE *file = fopen(whole, "w");
    CHECK(file != NULL);
    CHECK(fputs(text, file) >= 0 && fclose(file) == 0);
}

static struct memory_limit look(void)
{
    struct memory_limit limit;
    memory_limit_look(&limit, test_folder());
    return limit;
}

static void check_left(uint64_t mebibytes, const char *reason)
{
    struct memory_limit limit = look();
    CHECK_EQUAL(limit.left_bytes, mebibytes * MIB);
    CHECK(strstr(limit.reason, reason) != NULL);
}

TEST(memory_of_the_machine_limits)
{
    put("proc/meminfo", "MemTotal:  8192 kB\nMemFree: 100 kB\nMemAvailable:    4096 kB\n");
    check_left(4, "the machine has 4.0 MiB");
}

TEST(memory_without_anything_to_look_at_is_unlimited)
{
    CHECK_EQUAL(look().left_bytes, UINT64_MAX);
    put("proc/meminfo", "nothing that is known\n");
    put("proc/self/cgroup", "what: ever\n::\n0\n\n");
    put("sys/fs/cgroup/memory.max", "many\n");
    CHECK_EQUAL(look().left_bytes, UINT64_MAX);
}

TEST(memory_limit_of_the_group_holds)
{
    put("proc/meminfo", "MemAvailable: 4194304 kB\n");
    put("proc/self/cgroup", "0::/system.slice/till.service\n");
    put("sys/fs/cgroup/system.slice/till.service/memory.max", "536870912\n");
    check_left(512, "memory.max of the control group /system.slice/till.service is 512.0 MiB");
    put("sys/fs/cgroup/system.slice/till.service/memory.current", "134217728\n");
    check_left(384, "128.0 MiB are in use");
    put("sys/fs/cgroup/system.slice/till.service/memory.stat",
        "anon 67108864\nfile 67108864\ninactive_file 33554432\nactive_file 33554432\n");
    check_left(448, "64.0 MiB are in use");
    put("sys/fs/cgroup/system.slice/till.service/memory.max", "max\n");
    check_left(4096, "the machine");
}

TEST(memory_limit_of_a_group_above_holds_too)
{
    put("proc/self/cgroup", "0::/a/b/c\n");
    put("sys/fs/cgroup/a/b/c/memory.max", "1073741824\n");
    put("sys/fs/cgroup/a/memory.max", "268435456\n");
    put("sys/fs/cgroup/a/memory.current", "67108864\n");
    check_left(192, "memory.max of the control group /a is");
    put("sys/fs/cgroup/memory.max", "104857600\n");
    check_left(100, "control group / is");
    put("sys/fs/cgroup/a/b/memory.high", "52428800\n");
    check_left(50, "memory.high of the control group /a/b is");
}

TEST(memory_limit_that_is_exceeded_leaves_nothing)
{
    put("proc/self/cgroup", "0::/a\n");
    put("sys/fs/cgroup/a/memory.max", "1048576\n");
    put("sys/fs/cgroup/a/memory.current", "2097152\n");
    check_left(0, "/a is 1.0 MiB, of which 2.0 MiB");
}

TEST(memory_limit_of_version_1_holds)
{
    put("proc/meminfo", "MemAvailable: 4194304 kB\n");
    put("proc/self/cgroup", "12:cpu,cpuacct:/x\n5:hugetlb,memory:/docker/0123\n1:name=systemd:/\n"
                            "0::/init.scope\n");
    put("sys/fs/cgroup/memory/docker/0123/memory.limit_in_bytes", "536870912\n");
    put("sys/fs/cgroup/memory/docker/0123/memory.usage_in_bytes", "134217728\n");
    put("sys/fs/cgroup/memory/docker/0123/memory.stat",
        "inactive_file 1\ntotal_inactive_file 67108864\ntotal_active_file 33554432\n");
    put("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    check_left(480, "memory.limit_in_bytes of the control group /docker/0123 is 512.0 MiB");
}

TEST(memory_limit_is_found_where_a_container_sees_its_own_group_at_the_top)
{
    put("proc/self/cgroup", "5:memory:/docker/0123\n0::/\n");
    put("sys/fs/cgroup/memory/memory.limit_in_bytes", "268435456\n");
    check_left(256, "control group / is");
    put("proc/self/cgroup", "0::/../../other/leaf\n");
    put("sys/fs/cgroup/memory.max", "134217728\n");
    check_left(128, "memory.max of the control group / is");
}

TEST(memory_limit_of_a_very_long_path_does_no_harm)
{
    char line[8192] = "0::";
    for (size_t i = 3; i < 5000; i++)
        line[i] = i % 50 == 3 ? '/' : 'a';
    put("proc/self/cgroup", line);
    put("sys/fs/cgroup/memory.max", "134217728\n");
    CHECK(look().left_bytes >= 128 * MIB);
}
