// A Vulkan layer that tells what a driver's compiler made of every compute pipeline, and what is recorded with them. It writes to the
// folder $OFFLINE_OUT:
//   NNNN.txt      of pipeline N: lines `@kernel NAME`, `@workgroup INVOCATIONS`, `@stat NAME=VALUE`, and `@text NAME` with a text below it
//                 (VK_KHR_pipeline_executable_properties)
//   commands.txt  of every command buffer with dispatches: a line of `b` for a pipeline barrier and the numbers of the pipelines dispatched
// With $OFFLINE_UNCHECKED set, the driver's own checks of bounds (robust buffer access) are left out.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vulkan/vk_layer.h>
#include <vulkan/vulkan.h>

enum { MOST_PIPELINES = 1 << 14, MOST_MODULES = 1 << 14, MOST_BUFFERS = 256, MOST_COMMANDS = 1 << 13 };

// What was recorded into a command buffer: -1 for a barrier, else the number of the pipeline that was dispatched.
struct recording {
    VkCommandBuffer of;
    int pipeline, count;
    int commands[MOST_COMMANDS];
};

static PFN_vkGetInstanceProcAddr next_instance;
static PFN_vkGetDeviceProcAddr next_device;
static VkInstance instance;
static VkDevice device;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct { VkPipeline handle; unsigned invocations; } pipelines[MOST_PIPELINES];
static struct { VkShaderModule handle; unsigned invocations; } modules[MOST_MODULES];
static struct recording *recordings[MOST_BUFFERS];
static int pipeline_count, module_count, recording_count;

#define NEXT(name) ((PFN_vk##name)next_device(device, "vk" #name))

static FILE *output(const char *name, const char *mode) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", getenv("OFFLINE_OUT"), name);
    FILE *file = fopen(path, mode);
    if (!file) {
        perror(path);
        exit(1);
    }
    return file;
}

// Product of the operands of OpExecutionMode LocalSize in a SPIR-V program.
static unsigned invocations(const uint32_t *words, size_t count) {
    for (size_t i = 5; i < count; i += words[i] >> 16) {
        if (!(words[i] >> 16)) break;
        if ((words[i] & 0xffff) == 16 && words[i + 2] == 17) return words[i + 3] * words[i + 4] * words[i + 5];
    }
    return 0;
}

// The layer's link in the chain of those that make an instance or a device.
#define LINK(type, stype) \
    type *link = (void *)info->pNext; \
    while (!(link->sType == stype && link->function == VK_LAYER_LINK_INFO)) link = (void *)link->pNext;

static VkResult VKAPI_CALL offline_CreateInstance(
    const VkInstanceCreateInfo *info, const VkAllocationCallbacks *allocator, VkInstance *out) {
    LINK(VkLayerInstanceCreateInfo, VK_STRUCTURE_TYPE_LOADER_INSTANCE_CREATE_INFO)
    next_instance = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
    link->u.pLayerInfo = link->u.pLayerInfo->pNext;
    VkResult result = ((PFN_vkCreateInstance)next_instance(NULL, "vkCreateInstance"))(info, allocator, out);
    if (!result) instance = *out;
    return result;
}

static void uncheck(VkDeviceCreateInfo *info) {
    if (info->pEnabledFeatures) ((VkPhysicalDeviceFeatures *)info->pEnabledFeatures)->robustBufferAccess = 0;
    for (VkBaseOutStructure *s = (void *)info->pNext; s; s = s->pNext) {
        if (s->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2)
            ((VkPhysicalDeviceFeatures2 *)s)->features.robustBufferAccess = 0;
        if (s->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_ROBUSTNESS_2_FEATURES_EXT)
            ((VkPhysicalDeviceRobustness2FeaturesEXT *)s)->robustBufferAccess2 = 0;
    }
}

static VkResult VKAPI_CALL offline_CreateDevice(
    VkPhysicalDevice physical, const VkDeviceCreateInfo *info, const VkAllocationCallbacks *allocator, VkDevice *out) {
    LINK(VkLayerDeviceCreateInfo, VK_STRUCTURE_TYPE_LOADER_DEVICE_CREATE_INFO)
    PFN_vkGetInstanceProcAddr next = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
    next_device = link->u.pLayerInfo->pfnNextGetDeviceProcAddr;
    link->u.pLayerInfo = link->u.pLayerInfo->pNext;
    VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR feature = {
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR, (void *)info->pNext, VK_TRUE };
    const char *names[256];
    memcpy(names, info->ppEnabledExtensionNames, sizeof *names * info->enabledExtensionCount);
    VkDeviceCreateInfo own = *info;
    names[own.enabledExtensionCount++] = VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME;
    own.ppEnabledExtensionNames = names;
    own.pNext = &feature;
    if (getenv("OFFLINE_UNCHECKED")) uncheck(&own);
    VkResult result = ((PFN_vkCreateDevice)next(instance, "vkCreateDevice"))(physical, &own, allocator, out);
    if (!result) device = *out;
    return result;
}

static VkResult VKAPI_CALL offline_CreateShaderModule(
    VkDevice d, const VkShaderModuleCreateInfo *info, const VkAllocationCallbacks *allocator, VkShaderModule *out) {
    VkResult result = NEXT(CreateShaderModule)(d, info, allocator, out);
    pthread_mutex_lock(&lock);
    modules[module_count].handle = *out;
    modules[module_count++ % MOST_MODULES].invocations = invocations(info->pCode, info->codeSize / 4);
    pthread_mutex_unlock(&lock);
    return result;
}

static unsigned module_invocations(const VkPipelineShaderStageCreateInfo *stage) {
    for (const VkBaseInStructure *s = stage->pNext; s; s = s->pNext) {
        const VkShaderModuleCreateInfo *inlined = (const void *)s;
        if (s->sType == VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO) return invocations(inlined->pCode, inlined->codeSize / 4);
    }
    // Handles are used again: the youngest counts.
    for (int i = module_count - 1; i >= 0; i--)
        if (modules[i].handle == stage->module) return modules[i].invocations;
    return 0;
}

static VkResult VKAPI_CALL offline_CreateComputePipelines(
    VkDevice d, VkPipelineCache cache, uint32_t count, const VkComputePipelineCreateInfo *infos,
    const VkAllocationCallbacks *allocator, VkPipeline *out) {
    VkComputePipelineCreateInfo own[count];
    memcpy(own, infos, sizeof own);
    for (uint32_t i = 0; i < count; i++)
        own[i].flags |= VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR | VK_PIPELINE_CREATE_CAPTURE_INTERNAL_REPRESENTATIONS_BIT_KHR;
    VkResult result = NEXT(CreateComputePipelines)(d, cache, count, own, allocator, out);
    pthread_mutex_lock(&lock);
    for (uint32_t i = 0; i < count && !result; i++) {
        pipelines[pipeline_count].handle = out[i];
        pipelines[pipeline_count++ % MOST_PIPELINES].invocations = module_invocations(&infos[i].stage);
    }
    pthread_mutex_unlock(&lock);
    return result;
}

// Number of a pipeline; -1 if it is none.
static int number(VkPipeline of) {
    int n = pipeline_count - 1;
    while (n >= 0 && pipelines[n].handle != of) n--;
    return n;
}

static void write_pipeline(int n, const char *name) {
    char file[32];
    snprintf(file, sizeof file, "%04d.txt", n);
    FILE *f = output(file, "w");
    fprintf(f, "@kernel %s\n@workgroup %u\n", name, pipelines[n].invocations);
    VkPipelineExecutableInfoKHR which = { VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR, NULL, pipelines[n].handle, 0 };
    VkPipelineExecutableStatisticKHR stats[128] = { 0 };
    VkPipelineExecutableInternalRepresentationKHR texts[16] = { 0 };
    uint32_t stat_count = 128, text_count = 16;
    for (int i = 0; i < 128; i++) stats[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR;
    for (int i = 0; i < 16; i++) texts[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INTERNAL_REPRESENTATION_KHR;
    NEXT(GetPipelineExecutableStatisticsKHR)(device, &which, &stat_count, stats);
    for (uint32_t i = 0; i < stat_count; i++) {
        if (stats[i].format == VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_FLOAT64_KHR)
            fprintf(f, "@stat %s=%g\n", stats[i].name, stats[i].value.f64);
        else
            fprintf(f, "@stat %s=%llu\n", stats[i].name, (unsigned long long)stats[i].value.u64);
    }
    NEXT(GetPipelineExecutableInternalRepresentationsKHR)(device, &which, &text_count, texts);
    for (uint32_t i = 0; i < text_count; i++) texts[i].pData = calloc(1, texts[i].dataSize + 1);
    NEXT(GetPipelineExecutableInternalRepresentationsKHR)(device, &which, &text_count, texts);
    for (uint32_t i = 0; i < text_count; i++) {
        if (texts[i].isText) fprintf(f, "@text %s\n%s\n", texts[i].name, (char *)texts[i].pData);
        free(texts[i].pData);
    }
    fclose(f);
}

// wgpu names a pipeline right after it was made, if WGPU_DEBUG=1.
static VkResult VKAPI_CALL offline_SetDebugUtilsObjectNameEXT(VkDevice d, const VkDebugUtilsObjectNameInfoEXT *info) {
    if (info->objectType != VK_OBJECT_TYPE_PIPELINE) return VK_SUCCESS;
    pthread_mutex_lock(&lock);
    int n = number((VkPipeline)info->objectHandle);
    pthread_mutex_unlock(&lock);
    if (n >= 0) write_pipeline(n, info->pObjectName);
    return VK_SUCCESS;
}

static struct recording *recording(VkCommandBuffer of) {
    int i = 0;
    while (i < recording_count && recordings[i]->of != of) i++;
    if (i == recording_count && i < MOST_BUFFERS) {
        recordings[recording_count++] = calloc(1, sizeof **recordings);
        recordings[i]->of = of;
    }
    return i < MOST_BUFFERS ? recordings[i] : NULL;
}

static VkResult VKAPI_CALL offline_BeginCommandBuffer(VkCommandBuffer c, const VkCommandBufferBeginInfo *info) {
    recording(c)->count = 0;
    return NEXT(BeginCommandBuffer)(c, info);
}

static void note(VkCommandBuffer c, int command) {
    struct recording *r = recording(c);
    if (r->count < MOST_COMMANDS) r->commands[r->count++] = command;
}

static void VKAPI_CALL offline_CmdBindPipeline(VkCommandBuffer c, VkPipelineBindPoint point, VkPipeline pipeline) {
    recording(c)->pipeline = number(pipeline);
    NEXT(CmdBindPipeline)(c, point, pipeline);
}

static void VKAPI_CALL offline_CmdDispatch(VkCommandBuffer c, uint32_t x, uint32_t y, uint32_t z) {
    note(c, recording(c)->pipeline);
    NEXT(CmdDispatch)(c, x, y, z);
}

static void VKAPI_CALL offline_CmdPipelineBarrier(
    VkCommandBuffer c, VkPipelineStageFlags from, VkPipelineStageFlags to, VkDependencyFlags flags, uint32_t memories,
    const VkMemoryBarrier *memory, uint32_t buffers, const VkBufferMemoryBarrier *buffer, uint32_t images, const VkImageMemoryBarrier *image) {
    note(c, -1);
    NEXT(CmdPipelineBarrier)(c, from, to, flags, memories, memory, buffers, buffer, images, image);
}

static VkResult VKAPI_CALL offline_EndCommandBuffer(VkCommandBuffer c) {
    struct recording *r = recording(c);
    int dispatches = 0;
    for (int i = 0; i < r->count; i++) dispatches += r->commands[i] >= 0;
    pthread_mutex_lock(&lock);
    if (dispatches) {
        FILE *f = output("commands.txt", "a");
        for (int i = 0; i < r->count; i++) r->commands[i] < 0 ? fputs("b ", f) : fprintf(f, "%d ", r->commands[i]);
        fputs("\n", f);
        fclose(f);
    }
    pthread_mutex_unlock(&lock);
    return NEXT(EndCommandBuffer)(c);
}

PFN_vkVoidFunction VKAPI_CALL offline_device(VkDevice d, const char *name);
PFN_vkVoidFunction VKAPI_CALL offline_instance(VkInstance i, const char *name);

static PFN_vkVoidFunction own_function(const char *name) {
#define OWN(n) if (!strcmp(name, "vk" #n)) return (PFN_vkVoidFunction)offline_##n;
    OWN(CreateInstance) OWN(CreateDevice) OWN(CreateShaderModule) OWN(CreateComputePipelines) OWN(SetDebugUtilsObjectNameEXT)
    OWN(BeginCommandBuffer) OWN(CmdBindPipeline) OWN(CmdDispatch) OWN(CmdPipelineBarrier) OWN(EndCommandBuffer)
    if (!strcmp(name, "vkGetDeviceProcAddr")) return (PFN_vkVoidFunction)offline_device;
    return strcmp(name, "vkGetInstanceProcAddr") ? NULL : (PFN_vkVoidFunction)offline_instance;
}

PFN_vkVoidFunction VKAPI_CALL offline_device(VkDevice d, const char *name) {
    PFN_vkVoidFunction own = own_function(name);
    return own ? own : next_device(d, name);
}

PFN_vkVoidFunction VKAPI_CALL offline_instance(VkInstance i, const char *name) {
    PFN_vkVoidFunction own = own_function(name);
    return own ? own : next_instance ? next_instance(i, name) : NULL;
}
