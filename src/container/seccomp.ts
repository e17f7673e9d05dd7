/**
 * The syscall filter of every container, already resolved for a process without capabilities and for the native architecture
 * alone: a list for three architectures costs about 20 ms per start. Made from the default profile of containers-common,
 * without what a web application never needs: mounts, namespaces, ptrace, keyrings, io_uring, 32-bit calls.
 */
export interface SeccompProfile {
  readonly defaultAction: string
  readonly defaultErrnoRet: number
  readonly architectures: readonly string[]
  readonly syscalls: readonly SeccompRule[]
}

interface SeccompRule {
  readonly names: readonly string[]
  readonly action: string
  readonly errnoRet?: number
  readonly args?: readonly SeccompArgument[]
}

interface SeccompArgument {
  readonly index: number
  readonly value: number
  readonly valueTwo?: number
  readonly op: string
}

/** @param arch `process.arch` of the host; 'x64' and 'arm64' have their own extra calls */
export function seccompProfile(arch: string): SeccompProfile {
  return {
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: ENOSYS,
    architectures: [arch === 'arm64' ? 'SCMP_ARCH_AARCH64' : 'SCMP_ARCH_X86_64'],
    syscalls: [
      allow([...words(ALLOWED), ...words(arch === 'arm64' ? '' : X64_ONLY)]),
      { names: words(DENIED), action: 'SCMP_ACT_ERRNO', errnoRet: EPERM },
      ...PERSONALITIES.map((value) =>
        allow(['personality'], [{ index: 0, value, op: 'SCMP_CMP_EQ' }]),
      ),
      ...SOCKET_FAMILIES.map((value) =>
        allow(['socket'], [{ index: 0, value, op: 'SCMP_CMP_EQ' }]),
      ),
      allow(['clone'], [{ index: 0, value: CLONE_NEW, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }]),
    ],
  }
}

const EPERM = 1
/** glibc falls back on ENOSYS, for example from clone3 (whose flags no filter can read) to clone. */
const ENOSYS = 38
/** Every CLONE_NEW* flag of sched.h. */
const CLONE_NEW = 0x7e02_0000
/** PER_LINUX, PER_LINUX32, UNAME26 with both, and the query. */
const PERSONALITIES = [0, 8, 131_072, 131_080, 4_294_967_295]
/** AF_UNIX, AF_INET, AF_INET6, AF_NETLINK: no packet, vsock or crypto sockets. */
const SOCKET_FAMILIES = [1, 2, 10, 16]

const X64_ONLY = 'arch_prctl modify_ldt'

const DENIED = `
  acct add_key bpf chroot clock_settime delete_module fanotify_init finit_module fsconfig fsmount fsopen fspick
  init_module io_uring_enter io_uring_register io_uring_setup ioperm iopl kcmp kexec_load keyctl mount mount_setattr
  move_mount name_to_handle_at open_by_handle_at open_tree perf_event_open pidfd_getfd pivot_root process_madvise
  process_vm_readv process_vm_writev ptrace quotactl reboot request_key sethostname setns settimeofday swapoff swapon
  syslog umount2 unshare userfaultfd vhangup`

const ALLOWED = `
  accept accept4 access alarm bind brk cachestat capget capset chdir chmod chown clock_getres
  clock_gettime clock_nanosleep close close_range connect copy_file_range creat dup dup2 dup3
  epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait
  epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64
  fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fcntl64 fdatasync
  fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstatfs fsync ftruncate futex
  futex_requeue futex_wait futex_waitv futex_wake futimesat get_mempolicy get_robust_list
  get_thread_area getcpu getcwd getdents getdents64 getegid geteuid getgid getgroups getitimer
  getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid getresuid getrlimit
  getrusage getsid getsockname getsockopt gettid gettimeofday getuid getxattr getxattrat
  inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents
  io_setup io_submit ioctl ioprio_get ioprio_set kill landlock_add_rule landlock_create_ruleset
  landlock_restrict_self lchown lgetxattr link linkat listen listxattr listxattrat llistxattr
  lremovexattr lseek lsetxattr lstat madvise map_shadow_stack mbind membarrier memfd_create
  memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mprotect
  mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink mremap mseal msgctl
  msgget msgrcv msgsnd msync munlock munlockall munmap nanosleep newfstatat open openat openat2
  pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll
  prctl pread64 preadv preadv2 prlimit64 process_mrelease pselect6 pwrite64 pwritev pwritev2 read
  readahead readlink readlinkat readv recvfrom recvmmsg recvmsg remap_file_pages removexattr
  rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask
  rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo
  sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam
  sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam
  sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop sendfile sendmmsg
  sendmsg sendto set_mempolicy set_robust_list set_thread_area set_tid_address setfsgid setfsuid
  setgid setgroups setitimer setpgid setpriority setregid setresgid setresuid setreuid setrlimit
  setsid setsockopt setuid setxattr shmat shmctl shmdt shmget shutdown sigaltstack signalfd
  signalfd4 sigsuspend socketpair splice stat statfs statx symlink symlinkat sync sync_file_range
  syncfs sysinfo tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime
  timer_settime timerfd timerfd_create timerfd_gettime timerfd_settime times tkill truncate umask
  uname unlink unlinkat utime utimensat utimes vfork wait4 waitid write writev`

function allow(names: readonly string[], args?: readonly SeccompArgument[]): SeccompRule {
  return { names, action: 'SCMP_ACT_ALLOW', ...(args === undefined ? {} : { args }) }
}

function words(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== '')
}
