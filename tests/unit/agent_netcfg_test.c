#include "test.h"

#include <errno.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/netcfg.h"
#include "base/proc.h"

static struct err e;

TEST(addresses)
{
	unsigned char a[16];
	unsigned int prefix = 0;

	CHECK_INT(netcfg_parse_address("10.0.0.2/24", a, &prefix, &e), AF_INET);
	CHECK_INT(prefix, 24);
	CHECK_INT(a[0], 10);
	CHECK_INT(netcfg_parse_address("fd00::2/64", a, &prefix, &e), AF_INET6);
	CHECK_INT(prefix, 64);
	CHECK_INT(a[15], 2);
	CHECK_INT(netcfg_parse_address("10.0.0.1", a, &prefix, &e), AF_INET);
	CHECK_INT(prefix, 32);
	CHECK_INT(netcfg_parse_address("10.0.0.2/33", a, &prefix, &e), -EINVAL);
	CHECK_INT(netcfg_parse_address("10.0.0", a, &prefix, &e), -EINVAL);
	CHECK_INT(netcfg_parse_address("10.0.0.2/24/8", a, &prefix, &e), -EINVAL);
	CHECK_INT(netcfg_parse_address("", a, &prefix, &e), -EINVAL);
}

static int apply_in_a_namespace_of_its_own(const char *json)
{
	struct netcfg c = {0};
	int r;

	if (unshare(CLONE_NEWNET) < 0 ||
		json_read_text(&netcfg_table, json, strlen(json), NULL, &c, &e) < 0)
		return 100;
	r = netcfg_apply(&c, &e);
	if (r < 0)
		printf("# %s\n", e.text);
	json_release(&netcfg_table, &c);
	return -r;
}

static int in_child(const char *json)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(apply_in_a_namespace_of_its_own(json));
	waitpid(pid, &status, 0);
	return proc_exit_code(status);
}

TEST(interfaces)
{
	/* lo stands for eth0: it takes addresses, netmasks and an MTU as well. */
	CHECK_INT(in_child("{\"interface\":\"lo\",\"addresses\":[\"10.9.0.2/"
			   "24\"],\"gateways\":[\"10.9.0.1\"],\"mtu\":1400}"),
		0);
	CHECK_INT(in_child("{\"interface\":\"eth0\"}"), ENODEV);
	CHECK_INT(in_child("{}"), ENODEV);
	CHECK_INT(in_child("{\"interface\":\"lo\",\"addresses\":[\"nonsense\"]}"), EINVAL);
	CHECK_INT(in_child("{\"interface\":\"a-name-that-no-interface-can-have\"}"), ENODEV);
}

TEST_MAIN
