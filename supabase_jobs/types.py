"""Types for clients: rows, arguments of functions, `result` and `metadata`. Written by
`scripts/record`.
"""

from typing import Any, Literal, NotRequired, TypedDict

JobStatus = Literal["queued", "processing", "completed", "failed", "cancelled"]


class JobResultMedia(TypedDict):
    """The media of the post."""

    # The platform's id of the post. A string: it does not fit a JavaScript number.
    post_id: str
    # For example video or image.
    type: str
    # URL of the video; null without a video.
    video_url: NotRequired[str | None]
    # URL of the thumbnail; null without one.
    thumbnail_url: NotRequired[str | None]
    # The images; may be empty.
    images: list[Any]


class JobResultEntity(TypedDict):
    """The people, organizations and subjects in the post."""

    # The name to display.
    name: str
    # For example person.
    type: str
    # For example high.
    priority: NotRequired[str]
    # For example people.
    category: NotRequired[str]


class JobResultMetrics(TypedDict):
    """Likes, views and other counts of the post when the job ran."""

    likes: NotRequired[int]
    retweets: NotRequired[int]
    replies: NotRequired[int]
    views: NotRequired[int]


class JobResultTweet(TypedDict):
    """The post's text and author."""

    text: str
    # With its @.
    author_handle: str
    # As the platform displays it.
    author_name: NotRequired[str]


class JobResult(TypedDict):
    """The result of a completed job."""

    # The media of the post.
    media: JobResultMedia
    # Transcript of the video; null without speech.
    transcription: str | None
    # Description of the images in words; null if they were not analyzed.
    vision: str | None
    # The people, organizations and subjects in the post.
    entities: list[JobResultEntity]
    # Likes, views and other counts of the post when the job ran.
    metrics: JobResultMetrics
    # The post's text and author.
    tweet: JobResultTweet


class JobMetadata(TypedDict):
    """The metadata of a job."""

    # The item that the job was created for.
    item_id: NotRequired[str]
    # The platform of the post, for example x.
    platform: NotRequired[str]
    # How often the job was put back into the queue.
    retry_count: NotRequired[int]
    # The last heartbeat of the worker: ISO 8601, as to_jsonb(now()) writes it.
    last_check: NotRequired[str]
    # Processing time of the worker in milliseconds.
    processing_time_ms: NotRequired[float]
    # The worker.
    server_id: NotRequired[str]


class MigrateGuestJobsRow(TypedDict):
    """The row that migrate_guest_jobs returns."""

    migrated_count: int


class CleanupOldJobsRow(TypedDict):
    """The row that cleanup_old_jobs returns."""

    deleted_count: int


class CleanupInactiveGuestsRow(TypedDict):
    """The row that cleanup_inactive_guests returns."""

    deleted_count: int


class CompleteJobsItem(TypedDict):
    """An item of the argument p_jobs of complete_jobs."""

    id: str
    claim_id: str
    result: JobResult


class FailJobsItem(TypedDict):
    """An item of the argument p_jobs of fail_jobs."""

    id: str
    claim_id: str
    error: str


class CompleteAndClaimItem(TypedDict):
    """An item of the argument p_reports of complete_and_claim."""

    id: str
    claim_id: str
    result: NotRequired[JobResult]
    error: NotRequired[str]


class RequeueStaleJobsRow(TypedDict):
    """The row that requeue_stale_jobs returns."""

    requeued_count: int
    failed_count: int


class ClaimedJobMetadata(TypedDict):
    """The metadata of a claimed job."""

    # The item that the job was created for.
    item_id: NotRequired[str]
    # The platform of the post, for example x.
    platform: NotRequired[str]
    # How often the job was put back into the queue.
    retry_count: NotRequired[int]
    # The last heartbeat of the worker: ISO 8601, as to_jsonb(now()) writes it.
    last_check: NotRequired[str]
    # Processing time of the worker in milliseconds.
    processing_time_ms: NotRequired[float]
    # The worker.
    server_id: NotRequired[str]
    # Identifies the claim; the worker passes it when it reports.
    claim_id: str


class ClaimedJob(TypedDict):
    """A job that claim_jobs or complete_and_claim returns."""

    # Time of the INSERT. Guests and users cannot choose it, because workers process the oldest job
    # first.
    created_at: str
    # Error message of a failed job. At most 16 KiB; the variable max_error_bytes changes this.
    error: str | None
    # The owner, if it is a guest. Otherwise null.
    guest_id: str | None
    id: str
    # Data about the run: item_id, platform, retry_count, last_check, processing_time_ms, server_id.
    metadata: ClaimedJobMetadata
    # Percent, 0 to 100.
    progress: int
    # Result of a completed job: media, transcription, vision, entities, metrics, tweet.
    result: JobResult | None
    # queued, processing, completed, failed or cancelled.
    status: JobStatus
    # Time of the last UPDATE. update_async_job_updated_at_trigger overwrites the value of the
    # client.
    updated_at: str
    # The URL to process, for example a post on X. 1 to 2048 bytes.
    url: str
    # The owner, if it is a user. Otherwise null.
    user_id: str | None


class AsyncJob(TypedDict):
    """A row of public.async_jobs."""

    # Time of the INSERT. Guests and users cannot choose it, because workers process the oldest job
    # first.
    created_at: str
    # Error message of a failed job. At most 16 KiB; the variable max_error_bytes changes this.
    error: str | None
    # The owner, if it is a guest. Otherwise null.
    guest_id: str | None
    id: str
    # Data about the run: item_id, platform, retry_count, last_check, processing_time_ms, server_id.
    metadata: JobMetadata
    # Percent, 0 to 100.
    progress: int
    # Result of a completed job: media, transcription, vision, entities, metrics, tweet.
    result: JobResult | None
    # queued, processing, completed, failed or cancelled.
    status: JobStatus
    # Time of the last UPDATE. update_async_job_updated_at_trigger overwrites the value of the
    # client.
    updated_at: str
    # The URL to process, for example a post on X. 1 to 2048 bytes.
    url: str
    # The owner, if it is a user. Otherwise null.
    user_id: str | None


class AsyncJobInsert(TypedDict):
    """A new row of public.async_jobs: columns with a default may be missing."""

    created_at: NotRequired[str]
    error: NotRequired[str | None]
    guest_id: NotRequired[str | None]
    id: NotRequired[str]
    metadata: NotRequired[JobMetadata]
    progress: NotRequired[int]
    result: NotRequired[JobResult | None]
    status: NotRequired[JobStatus]
    updated_at: NotRequired[str]
    url: str
    user_id: NotRequired[str | None]


class AsyncJobPart(TypedDict):
    """Some columns of a row of public.async_jobs: what an update sends, or a select of columns
    returns.
    """

    created_at: NotRequired[str]
    error: NotRequired[str | None]
    guest_id: NotRequired[str | None]
    id: NotRequired[str]
    metadata: NotRequired[JobMetadata]
    progress: NotRequired[int]
    result: NotRequired[JobResult | None]
    status: NotRequired[JobStatus]
    updated_at: NotRequired[str]
    url: NotRequired[str]
    user_id: NotRequired[str | None]


class GuestUser(TypedDict):
    """A row of public.guest_users."""

    created_at: str
    # Random UUID v4 and bearer secret. Keep it out of URLs, logs and readable columns of other
    # tables.
    guest_id: str
    # Time of the last visit. A guest that writes its row sets it to the time of the transaction,
    # whatever it sends.
    last_seen_at: str
    # Time when migrate_guest_jobs first moved the guest's jobs to that user.
    migrated_at: str | None
    # The user that this guest became. Only migrate_guest_jobs sets it.
    migrated_to_user_id: str | None


class GuestUserInsert(TypedDict):
    """A new row of public.guest_users: columns with a default may be missing."""

    created_at: NotRequired[str]
    guest_id: NotRequired[str]
    last_seen_at: NotRequired[str]
    migrated_at: NotRequired[str | None]
    migrated_to_user_id: NotRequired[str | None]


class GuestUserPart(TypedDict):
    """Some columns of a row of public.guest_users: what an update sends, or a select of columns
    returns.
    """

    created_at: NotRequired[str]
    guest_id: NotRequired[str]
    last_seen_at: NotRequired[str]
    migrated_at: NotRequired[str | None]
    migrated_to_user_id: NotRequired[str | None]


class MigrateGuestJobsArgs(TypedDict):
    """The arguments of migrate_guest_jobs."""

    p_guest_id: str
    p_user_id: str


class CleanupOldJobsArgs(TypedDict):
    """The arguments of cleanup_old_jobs."""

    p_days: NotRequired[int]
    p_limit: NotRequired[int | None]


class CleanupInactiveGuestsArgs(TypedDict):
    """The arguments of cleanup_inactive_guests."""

    p_days: NotRequired[int]
    p_limit: NotRequired[int | None]


class ClaimJobsArgs(TypedDict):
    """The arguments of claim_jobs."""

    p_worker: str
    p_limit: NotRequired[int]


class HeartbeatJobArgs(TypedDict):
    """The arguments of heartbeat_job."""

    p_job_id: str
    p_worker: str
    p_claim_id: str
    p_progress: NotRequired[int | None]


class CompleteJobArgs(TypedDict):
    """The arguments of complete_job."""

    p_job_id: str
    p_worker: str
    p_claim_id: str
    p_result: JobResult


class CompleteJobsArgs(TypedDict):
    """The arguments of complete_jobs."""

    p_worker: str
    p_jobs: list[CompleteJobsItem]


class FailJobsArgs(TypedDict):
    """The arguments of fail_jobs."""

    p_worker: str
    p_jobs: list[FailJobsItem]


class FailJobArgs(TypedDict):
    """The arguments of fail_job."""

    p_job_id: str
    p_worker: str
    p_claim_id: str
    p_error: str


class CompleteAndClaimArgs(TypedDict):
    """The arguments of complete_and_claim."""

    p_reports: list[CompleteAndClaimItem]
    p_worker: str
    p_limit: NotRequired[int]


class RequeueStaleJobsArgs(TypedDict):
    """The arguments of requeue_stale_jobs."""

    p_timeout: NotRequired[str]
    p_max_retries: NotRequired[int]
    p_limit: NotRequired[int | None]
