/* A double of libnvidia-ml.so.1 for tests: what the runner asks of it through pynvml, answered from
   the text file that NVML_DOUBLE_STATE names. The file is read anew at each call; change it by a
   rename. Blank lines and lines with # are skipped; a name is the rest of its line.

     driver VERSION | init CODE            nvmlInit fails with CODE (9: driver not loaded)
     gpu UUID TOTAL_MIB USED_MIB PERCENT STATUS NAME      index = order; STATUS ok | lost | CODE
     minor UUID N | mig UUID | worn UUID | pending UUID   its minor number, by default its index
     reserved UUID MIB                     the driver's own memory, which only the newer call sets apart
     proc UUID PID | drawing UUID PID      compute and graphics processes
     xid NUMBER UUID CODE                  an event; each NUMBER is delivered once, in rising order
                                           to the set in which UUID is registered; a set with a
                                           device that is lost only answers that, and one
                                           that was lost is to be registered anew
     fail FUNCTION CODE [UUID] | sleep FUNCTION MILLISECONDS | crash FUNCTION

   A handle stays that of its UUID. Without a file: driver not loaded. Not doubled: what pynvml asks
   for and the runner does not. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OK, UNINIT, INVAL, NOTSUP, NOPERM, NOTFOUND = 6, SMALL, NODRIVER = 9, TIMEOUT, LOST = 15,
       MISMATCH = 25, UNKNOWN = 999 };
enum { MOST = 64, PROCS = 256, HANDLES = 256 };
#define XID_EVENT 8ull

typedef struct {
  char uuid[96], name[96];
  unsigned long long total, used, reserved;
  unsigned percent, minor;
  int status, mig, worn, pending;
} gpu;
typedef struct { char uuid[96]; unsigned pid; int drawing; } process;
typedef struct { char uuid[96]; unsigned long long number, code; } event;
typedef struct {
  int gpus, processes, events, init, fail;
  char driver[80];
  gpu gpu[MOST];
  process process[PROCS];
  event event[MOST];
} state;
typedef struct { char uuid[96]; void *set; int dead; unsigned long long delivered; } handle;

static handle handles[HANDLES];
static char sets[HANDLES]; /* an event set is the address of one of these */
static int known, made, opened;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static gpu *find(state *s, const char *uuid) {
  for (int i = 0; i < s->gpus; i++)
    if (!strcmp(s->gpu[i].uuid, uuid)) return &s->gpu[i];
  return NULL;
}

static void line(state *s, const char *text, const char *function, const char *uuid) {
  char a[96], b[96], c[32];
  unsigned long long n, m;
  unsigned k;
  int code, at = 0, ms = 0;
  gpu *g = &s->gpu[s->gpus];
  if (s->gpus < MOST && sscanf(text, "gpu %95s %llu %llu %u %31s %n", g->uuid, &g->total,
                               &g->used, &g->percent, c, &at) == 5 && at) {
    g->status = !strcmp(c, "ok") ? OK : !strcmp(c, "lost") ? LOST : atoi(c);
    g->minor = s->gpus++;
    snprintf(g->name, sizeof g->name, "%s", text + at);
  } else if (sscanf(text, "minor %95s %u", a, &k) == 2) {
    if ((g = find(s, a))) g->minor = k;
  } else if (sscanf(text, "reserved %95s %llu", a, &n) == 2) {
    if ((g = find(s, a))) g->reserved = n;
  } else if (sscanf(text, "mig %95s", a) == 1) {
    if ((g = find(s, a))) g->mig = 1;
  } else if (sscanf(text, "worn %95s", a) == 1) {
    if ((g = find(s, a))) g->worn = 1;
  } else if (sscanf(text, "pending %95s", a) == 1) {
    if ((g = find(s, a))) g->pending = 1;
  } else if (s->processes < PROCS && (sscanf(text, "proc %95s %u", a, &k) == 2 ||
                                      sscanf(text, "drawing %95s %u", a, &k) == 2)) {
    process *p = &s->process[s->processes++];
    snprintf(p->uuid, sizeof p->uuid, "%s", a);
    p->pid = k;
    p->drawing = text[0] == 'd';
  } else if (s->events < MOST && sscanf(text, "xid %llu %95s %llu", &n, a, &m) == 3) {
    event *e = &s->event[s->events++];
    snprintf(e->uuid, sizeof e->uuid, "%s", a);
    e->number = n, e->code = m;
  } else if (sscanf(text, "driver %79s", s->driver) == 1) {
  } else if (sscanf(text, "init %d", &s->init) == 1) {
  } else if ((at = sscanf(text, "fail %95s %d %95s", a, &code, b)) >= 2) {
    if (!strcmp(a, function) && (at == 2 || (uuid && !strcmp(b, uuid)))) s->fail = code;
  } else if (sscanf(text, "sleep %95s %d", a, &ms) == 2) {
    if (!strcmp(a, function)) usleep(1000u * ms);
  } else if (sscanf(text, "crash %95s", a) == 1) {
    if (!strcmp(a, function)) raise(SIGSEGV);
  }
}

static void load(state *s, const char *function, const char *uuid) {
  memset(s, 0, sizeof *s);
  strcpy(s->driver, "000.00");
  const char *path = getenv("NVML_DOUBLE_STATE");
  FILE *file = path ? fopen(path, "re") : NULL;
  if (!file) { s->init = NODRIVER; return; }
  char text[512];
  while (fgets(text, sizeof text, file)) {
    text[strcspn(text, "\r\n")] = 0;
    if (*text && *text != '#') line(s, text, function, uuid);
  }
  fclose(file);
}

/* Each call: is it open, is there a driver, is it to fail? One of a device also: does that answer? */
static int enter(state *s, const char *function, const char *uuid) {
  load(s, function, uuid);
  return !opened ? UNINIT : s->init ? s->init : s->fail;
}
static int device(state *s, const char *function, handle *d, gpu **g) {
  if (d < handles || d >= handles + known) return INVAL;
  int code = enter(s, function, d->uuid);
  if (code) return code;
  return (*g = find(s, d->uuid)) ? (*g)->status : LOST;
}
static handle *handle_of(const char *uuid) {
  handle *found = NULL;
  pthread_mutex_lock(&lock);
  for (int i = 0; i < known && !found; i++)
    if (!strcmp(handles[i].uuid, uuid)) found = &handles[i];
  if (!found && known < HANDLES) {
    found = &handles[known++];
    snprintf(found->uuid, sizeof found->uuid, "%s", uuid);
  }
  pthread_mutex_unlock(&lock);
  return found;
}
static int put(char *to, unsigned room, const char *text) {
  if (!to) return INVAL;
  if (strlen(text) + 1 > room) return SMALL;
  strcpy(to, text);
  return OK;
}
#define SYSTEM state s; int code = enter(&s, __func__, NULL); if (code) return code
#define DEVICE state s; gpu *g; int code = device(&s, __func__, d, &g); if (code) return code

int nvmlInitWithFlags(unsigned flags) {
  (void)flags;
  state s;
  load(&s, "nvmlInit", NULL);
  if (s.init || s.fail) return s.init ? s.init : s.fail;
  opened = 1;
  return OK;
}
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { opened = 0; return OK; }
int nvmlSystemGetDriverVersion(char *to, unsigned room) { SYSTEM; return put(to, room, s.driver); }
int nvmlDeviceGetCount_v2(unsigned *n) { SYSTEM; *n = s.gpus; return OK; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, handle **d) {
  SYSTEM;
  if (i >= (unsigned)s.gpus) return INVAL;
  if (s.gpu[i].status) return s.gpu[i].status;
  if ((code = enter(&s, __func__, s.gpu[i].uuid))) return code; /* that is to fail for this one */
  return (*d = handle_of(s.gpu[i].uuid)) ? OK : UNKNOWN;
}
int nvmlDeviceGetUUID(handle *d, char *to, unsigned room) { DEVICE; return put(to, room, g->uuid); }
int nvmlDeviceGetName(handle *d, char *to, unsigned room) { DEVICE; return put(to, room, g->name); }
int nvmlDeviceGetMinorNumber(handle *d, unsigned *n) { DEVICE; *n = g->minor; return OK; }
typedef struct { unsigned long long total, free, used; } memory;
int nvmlDeviceGetMemoryInfo(handle *d, memory *m) {
  DEVICE;
  unsigned long long used = g->used + g->reserved;
  *m = (memory){ g->total << 20, (g->total - used) << 20, used << 20 };
  return OK;
}
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } memory2;
int nvmlDeviceGetMemoryInfo_v2(handle *d, memory2 *m) {
  DEVICE;
  if ((m->version & 0xffffff) != sizeof *m || m->version >> 24 != 2) return MISMATCH;
  unsigned long long free = g->total - g->used - g->reserved;
  *m = (memory2){ m->version, g->total << 20, g->reserved << 20, free << 20, g->used << 20 };
  return OK;
}
typedef struct { unsigned gpu, memory; } rates;
int nvmlDeviceGetUtilizationRates(handle *d, rates *r) { DEVICE; *r = (rates){ g->percent, 0 }; return OK; }
int nvmlDeviceGetMigMode(handle *d, unsigned *now, unsigned *next) { DEVICE; *now = *next = g->mig; return OK; }
int nvmlDeviceGetRemappedRows(handle *d, unsigned *a, unsigned *b, unsigned *pending, unsigned *failed) {
  DEVICE;
  *a = *b = *pending = 0, *failed = g->worn;
  return OK;
}
int nvmlDeviceGetRetiredPagesPendingStatus(handle *d, unsigned *pending) { DEVICE; *pending = g->pending; return OK; }

typedef struct { unsigned pid; unsigned long long used; unsigned part, share; } info;
static int processes(state *s, gpu *g, int drawing, unsigned *n, info *to) {
  unsigned count = 0;
  for (int i = 0; i < s->processes; i++) {
    process *p = &s->process[i];
    if (p->drawing != drawing || strcmp(p->uuid, g->uuid)) continue;
    if (to && count < *n) to[count] = (info){ p->pid, 0, ~0u, ~0u };
    count++;
  }
  int fits = count <= *n;
  *n = count;
  return fits ? OK : SMALL;
}
int nvmlDeviceGetComputeRunningProcesses_v3(handle *d, unsigned *n, info *to) { DEVICE; return processes(&s, g, 0, n, to); }
int nvmlDeviceGetGraphicsRunningProcesses_v3(handle *d, unsigned *n, info *to) { DEVICE; return processes(&s, g, 1, n, to); }

typedef struct { handle *device; unsigned long long type, data; unsigned part, share; } told;
int nvmlEventSetCreate(void **set) {
  SYSTEM;
  if (made == HANDLES) return UNKNOWN;
  *set = &sets[made++];
  return OK;
}
int nvmlEventSetFree(void *set) {
  SYSTEM;
  for (int i = 0; i < known; i++)
    if (handles[i].set == set) handles[i].set = NULL;
  return OK;
}
int nvmlDeviceGetSupportedEventTypes(handle *d, unsigned long long *types) { DEVICE; *types = XID_EVENT; return OK; }
int nvmlDeviceRegisterEvents(handle *d, unsigned long long types, void *set) {
  DEVICE;
  if (types & XID_EVENT) d->set = set, d->dead = 0;
  return OK;
}
int nvmlEventSetWait_v2(void *set, told *to, unsigned timeout) {
  (void)timeout;
  SYSTEM;
  for (int i = 0; i < known; i++) {
    if (handles[i].set != set) continue;
    gpu *g;
    if ((code = device(&s, __func__, &handles[i], &g)) == LOST) handles[i].dead = 1;
    if (code) return code;
  }
  for (int i = 0; i < s.events; i++) {
    handle *d = handle_of(s.event[i].uuid);
    if (!d || d->set != set || d->dead || s.event[i].number <= d->delivered) continue;
    d->delivered = s.event[i].number;
    *to = (told){ d, XID_EVENT, s.event[i].code, ~0u, ~0u };
    return OK;
  }
  return TIMEOUT;
}
const char *nvmlErrorString(int code) {
  switch (code) {
    case OK: return "Success";
    case UNINIT: return "Uninitialized";
    case INVAL: return "Invalid Argument";
    case NOTSUP: return "Not Supported";
    case NOPERM: return "Insufficient Permissions";
    case NODRIVER: return "Driver Not Loaded";
    case LOST: return "GPU is lost";
    default: return "Unknown Error";
  }
}
