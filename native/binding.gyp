# The addon. Built by build.mjs through npm's node-gyp; lives here and not in the root, where npm would run it on install.
{
  'variables': {
    # 1: the build of native/test/sanitize.mjs. Node is built without RTTI, which the vptr check needs.
    'sanitize%': 0,
    'sanitizers': ['-fsanitize=address,undefined', '-fno-sanitize=vptr', '-fno-sanitize-recover=all'],
  },
  'targets': [
    {
      'target_name': 'node_kvm',
      'sources': [
        'binding/addon.cc',
        'binding/args.cc',
        'binding/bitmap.cc',
        'binding/collect.cc',
        'binding/errors.cc',
        'binding/event_fd_handle.cc',
        'binding/event_waiter_handle.cc',
        'binding/event_watcher_handle.cc',
        'binding/hole.cc',
        'binding/lab.cc',
        'binding/memory.cc',
        'binding/page_tracker_handle.cc',
        'binding/shared_buffer.cc',
        'binding/system_handle.cc',
        'binding/thread.cc',
        'binding/vcpu_handle.cc',
        'binding/vm_handle.cc',
        'binding/wake.cc',
        'kvm/dirty_ring.cc',
        'kvm/dirty_rings.cc',
        'kvm/system.cc',
        'kvm/vcpu.cc',
        'kvm/vm.cc',
        'lab/kernels.c',
        'lab/litmus.c',
        'lab/sync_kernels.c',
        'sys/affinity.cc',
        'sys/bitmap.cc',
        'sys/discard.cc',
        'sys/event_fd.cc',
        'sys/fault.cc',
        'sys/hand_over.cc',
        'sys/hole.cc',
        'sys/kick.cc',
        'sys/mapping.cc',
        'sys/page_tracker.cc',
        'sys/prefault.cc',
        'sys/proc_maps.cc',
        'sys/wake.cc',
      ],
      'include_dirs': ['.', "<!(node -p \"require('node-addon-api').include_dir\")"],
      'defines': [
        'NAPI_VERSION=9',
        'NAPI_DISABLE_CPP_EXCEPTIONS',
        # Node-API calls fail once a worker is being terminated; without this node-addon-api aborts the process then.
        'NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS',
      ],
      # The lab's kernels. The guest is compiled from the same text: what is fast there must be fast here. Aligned loops: a
      # loop of a few instructions runs at half its speed where it lies across two cache lines, which is then the
      # linker's luck, not the machine's speed.
      'cflags_c': [
        '-std=c11',
        '-O3',
        '-falign-loops=64',
        '-fno-strict-aliasing',
        '-Wall',
        '-Wextra',
        '-Werror',
        '-fvisibility=hidden',
      ],
      'cflags_cc!': ['-std=gnu++17', '-std=gnu++20'],
      'cflags_cc': [
        '-std=c++20',
        '-O2',
        '-Wall',
        '-Wextra',
        '-Werror',
        '-fno-exceptions',
        '-fvisibility=hidden',
        '-fvisibility-inlines-hidden',
      ],
      # nodelete: the deleter of a buffer runs on whichever thread drops the last reference, perhaps after the worker that
      # loaded the addon has ended and would have unloaded it.
      'ldflags': ['-Wl,-z,nodelete'],
      'conditions': [
        [
          'sanitize==1',
          {
            'cflags_c': ['<@(sanitizers)', '-fno-omit-frame-pointer', '-g'],
            'cflags_cc': ['<@(sanitizers)', '-fno-omit-frame-pointer', '-g'],
            'ldflags': ['<@(sanitizers)'],
          },
        ],
      ],
    },
  ],
}
