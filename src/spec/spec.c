#include "spec/spec.h"

/* The kernel takes at most a quarter of the stack limit, 2 MiB, as arguments and environment. */
static const struct json_limits limits = {.max_bytes = (size_t)4 << 20};

int spec_load(const char *text, size_t n, struct spec *ret, struct err *e)
{
	return json_read_text(&spec_table, text, n, &limits, ret, e);
}

int spec_process_load(const char *text, size_t n, struct spec_process *ret, struct err *e)
{
	return json_read_text(&spec_process_table, text, n, &limits, ret, e);
}

int spec_resources_load(const char *text, size_t n, struct spec_resources *ret, struct err *e)
{
	return json_read_text(&spec_resources_table, text, n, &limits, ret, e);
}

char *spec_print(const struct spec *spec, enum json_style style)
{
	return json_print_text(&spec_table, spec, style);
}

void spec_release(struct spec *spec)
{
	json_release(&spec_table, spec);
}

void spec_process_release(struct spec_process *p)
{
	json_release(&spec_process_table, p);
}

void spec_resources_release(struct spec_resources *r)
{
	json_release(&spec_resources_table, r);
}

void spec_copy(struct spec *dst, const struct spec *src)
{
	json_copy(&spec_table, dst, src);
}

void spec_process_copy(struct spec_process *dst, const struct spec_process *src)
{
	json_copy(&spec_process_table, dst, src);
}

const struct spec_namespace *spec_ns(const struct spec *spec, enum spec_ns_kind kind)
{
	for (size_t i = 0; i < spec->linux.n_namespaces; i++)
		if (spec->linux.namespaces[i].type == (int)kind)
			return &spec->linux.namespaces[i];
	return NULL;
}

/* Room for one more element, zeroed. */
static void *grow(void *items, size_t n, size_t size)
{
	size_t cap = n;

	return mem_grow(items, &cap, n + 1, size);
}

struct spec_mount *spec_add_mount(struct spec *spec, const char *destination, const char *type,
	const char *source, const char *const *options)
{
	struct spec_mount *m;

	spec->mounts = grow(spec->mounts, spec->n_mounts, sizeof(*spec->mounts));
	m = &spec->mounts[spec->n_mounts++];
	m->destination = str_dup(destination);
	m->type = str_dup(type);
	m->source = str_dup(source);
	for (; options && *options; options++)
		strv_add(&m->options, *options);
	return m;
}

void spec_add_ns(struct spec *spec, enum spec_ns_kind kind, const char *path)
{
	struct spec_linux *l = &spec->linux;

	l->namespaces = grow(l->namespaces, l->n_namespaces, sizeof(*l->namespaces));
	l->namespaces[l->n_namespaces++] = (struct spec_namespace){kind, str_dup(path)};
	spec->has_linux = true;
}

void spec_add_rlimit(struct spec_process *p, int type, uint64_t soft, uint64_t hard)
{
	p->rlimits = grow(p->rlimits, p->n_rlimits, sizeof(*p->rlimits));
	p->rlimits[p->n_rlimits++] = (struct spec_rlimit){type, soft, hard};
}
