// Types for clients of supabase-js: createClient<Database>(…). Written by `scripts/record`.

export type JobStatus = 'queued' | 'processing' | 'completed' | 'failed' | 'cancelled'

/** The media of the post. */
export type JobResultMedia = {
  /** The platform's id of the post. A string: it does not fit a JavaScript number. */
  post_id: string
  /** For example video or image. */
  type: string
  /** URL of the video; null without a video. */
  video_url?: string | null
  /** URL of the thumbnail; null without one. */
  thumbnail_url?: string | null
  /** The images; may be empty. */
  images: unknown[]
  [key: string]: unknown
}

/** The people, organizations and subjects in the post. */
export type JobResultEntity = {
  /** The name to display. */
  name: string
  /** For example person. */
  type: string
  /** For example high. */
  priority?: string
  /** For example people. */
  category?: string
  [key: string]: unknown
}

/** Likes, views and other counts of the post when the job ran. */
export type JobResultMetrics = {
  likes?: number
  retweets?: number
  replies?: number
  views?: number
  [key: string]: unknown
}

/** The post's text and author. */
export type JobResultTweet = {
  text: string
  /** With its @. */
  author_handle: string
  /** As the platform displays it. */
  author_name?: string
  [key: string]: unknown
}

/** The result of a completed job. */
export type JobResult = {
  /** The media of the post. */
  media: JobResultMedia
  /** Transcript of the video; null without speech. */
  transcription: string | null
  /** Description of the images in words; null if they were not analyzed. */
  vision: string | null
  /** The people, organizations and subjects in the post. */
  entities: JobResultEntity[]
  /** Likes, views and other counts of the post when the job ran. */
  metrics: JobResultMetrics
  /** The post's text and author. */
  tweet: JobResultTweet
  [key: string]: unknown
}

/** The metadata of a job. */
export type JobMetadata = {
  /** The item that the job was created for. */
  item_id?: string
  /** The platform of the post, for example x. */
  platform?: string
  /** How often the job was put back into the queue. */
  retry_count?: number
  /** The last heartbeat of the worker: ISO 8601, as to_jsonb(now()) writes it. */
  last_check?: string
  /** Processing time of the worker in milliseconds. */
  processing_time_ms?: number
  /** The worker. */
  server_id?: string
  [key: string]: unknown
}

/** The row that migrate_guest_jobs returns. */
export type MigrateGuestJobsRow = {
  migrated_count: number
}

/** The row that cleanup_old_jobs returns. */
export type CleanupOldJobsRow = {
  deleted_count: number
}

/** The row that cleanup_inactive_guests returns. */
export type CleanupInactiveGuestsRow = {
  deleted_count: number
}

/** An item of the argument p_jobs of complete_jobs. */
export type CompleteJobsItem = {
  id: string
  claim_id: string
  result: JobResult
}

/** An item of the argument p_jobs of fail_jobs. */
export type FailJobsItem = {
  id: string
  claim_id: string
  error: string
}

/** An item of the argument p_reports of complete_and_claim. */
export type CompleteAndClaimItem = {
  id: string
  claim_id: string
  result?: JobResult
  error?: string
}

/** The row that requeue_stale_jobs returns. */
export type RequeueStaleJobsRow = {
  requeued_count: number
  failed_count: number
}

/** The metadata of a claimed job. */
export type ClaimedJobMetadata = {
  /** The item that the job was created for. */
  item_id?: string
  /** The platform of the post, for example x. */
  platform?: string
  /** How often the job was put back into the queue. */
  retry_count?: number
  /** The last heartbeat of the worker: ISO 8601, as to_jsonb(now()) writes it. */
  last_check?: string
  /** Processing time of the worker in milliseconds. */
  processing_time_ms?: number
  /** The worker. */
  server_id?: string
  /** Identifies the claim; the worker passes it when it reports. */
  claim_id: string
  [key: string]: unknown
}

/** A job that claim_jobs or complete_and_claim returns. */
export type ClaimedJob = {
  /** Time of the INSERT. Guests and users cannot choose it, because workers process the oldest job first. */
  created_at: string
  /** Error message of a failed job. At most 16 KiB; the variable max_error_bytes changes this. */
  error: string | null
  /** The owner, if it is a guest. Otherwise null. */
  guest_id: string | null
  id: string
  /** Data about the run: item_id, platform, retry_count, last_check, processing_time_ms, server_id. */
  metadata: ClaimedJobMetadata
  /** Percent, 0 to 100. */
  progress: number
  /** Result of a completed job: media, transcription, vision, entities, metrics, tweet. */
  result: JobResult | null
  /** queued, processing, completed, failed or cancelled. */
  status: JobStatus
  /** Time of the last UPDATE. update_async_job_updated_at_trigger overwrites the value of the client. */
  updated_at: string
  /** The URL to process, for example a post on X. 1 to 2048 bytes. */
  url: string
  /** The owner, if it is a user. Otherwise null. */
  user_id: string | null
}

/** A row of public.async_jobs. */
export type AsyncJob = {
  /** Time of the INSERT. Guests and users cannot choose it, because workers process the oldest job first. */
  created_at: string
  /** Error message of a failed job. At most 16 KiB; the variable max_error_bytes changes this. */
  error: string | null
  /** The owner, if it is a guest. Otherwise null. */
  guest_id: string | null
  id: string
  /** Data about the run: item_id, platform, retry_count, last_check, processing_time_ms, server_id. */
  metadata: JobMetadata
  /** Percent, 0 to 100. */
  progress: number
  /** Result of a completed job: media, transcription, vision, entities, metrics, tweet. */
  result: JobResult | null
  /** queued, processing, completed, failed or cancelled. */
  status: JobStatus
  /** Time of the last UPDATE. update_async_job_updated_at_trigger overwrites the value of the client. */
  updated_at: string
  /** The URL to process, for example a post on X. 1 to 2048 bytes. */
  url: string
  /** The owner, if it is a user. Otherwise null. */
  user_id: string | null
}

/** A new row of public.async_jobs: columns with a default may be missing. */
export type AsyncJobInsert = {
  created_at?: string
  error?: string | null
  guest_id?: string | null
  id?: string
  metadata?: JobMetadata
  progress?: number
  result?: JobResult | null
  status?: JobStatus
  updated_at?: string
  url: string
  user_id?: string | null
}

/** Some columns of a row of public.async_jobs: what an update sends, or a select of columns returns. */
export type AsyncJobPart = {
  created_at?: string
  error?: string | null
  guest_id?: string | null
  id?: string
  metadata?: JobMetadata
  progress?: number
  result?: JobResult | null
  status?: JobStatus
  updated_at?: string
  url?: string
  user_id?: string | null
}

/** A row of public.guest_users. */
export type GuestUser = {
  created_at: string
  /** Random UUID v4 and bearer secret. Keep it out of URLs, logs and readable columns of other tables. */
  guest_id: string
  /** Time of the last visit. A guest that writes its row sets it to the time of the transaction, whatever it sends. */
  last_seen_at: string
  /** Time when migrate_guest_jobs first moved the guest's jobs to that user. */
  migrated_at: string | null
  /** The user that this guest became. Only migrate_guest_jobs sets it. */
  migrated_to_user_id: string | null
}

/** A new row of public.guest_users: columns with a default may be missing. */
export type GuestUserInsert = {
  created_at?: string
  guest_id?: string
  last_seen_at?: string
  migrated_at?: string | null
  migrated_to_user_id?: string | null
}

/** Some columns of a row of public.guest_users: what an update sends, or a select of columns returns. */
export type GuestUserPart = {
  created_at?: string
  guest_id?: string
  last_seen_at?: string
  migrated_at?: string | null
  migrated_to_user_id?: string | null
}

/** The arguments of migrate_guest_jobs. */
export type MigrateGuestJobsArgs = {
  p_guest_id: string
  p_user_id: string
}

/** The arguments of cleanup_old_jobs. */
export type CleanupOldJobsArgs = {
  p_days?: number
  p_limit?: number | null
}

/** The arguments of cleanup_inactive_guests. */
export type CleanupInactiveGuestsArgs = {
  p_days?: number
  p_limit?: number | null
}

/** The arguments of claim_jobs. */
export type ClaimJobsArgs = {
  p_worker: string
  p_limit?: number
}

/** The arguments of heartbeat_job. */
export type HeartbeatJobArgs = {
  p_job_id: string
  p_worker: string
  p_claim_id: string
  p_progress?: number | null
}

/** The arguments of complete_job. */
export type CompleteJobArgs = {
  p_job_id: string
  p_worker: string
  p_claim_id: string
  p_result: JobResult
}

/** The arguments of complete_jobs. */
export type CompleteJobsArgs = {
  p_worker: string
  p_jobs: CompleteJobsItem[]
}

/** The arguments of fail_jobs. */
export type FailJobsArgs = {
  p_worker: string
  p_jobs: FailJobsItem[]
}

/** The arguments of fail_job. */
export type FailJobArgs = {
  p_job_id: string
  p_worker: string
  p_claim_id: string
  p_error: string
}

/** The arguments of complete_and_claim. */
export type CompleteAndClaimArgs = {
  p_reports: CompleteAndClaimItem[]
  p_worker: string
  p_limit?: number
}

/** The arguments of requeue_stale_jobs. */
export type RequeueStaleJobsArgs = {
  p_timeout?: string
  p_max_retries?: number
  p_limit?: number | null
}

export type Database = {
  public: {
    Tables: {
      async_jobs: {
        Row: AsyncJob
        Insert: AsyncJobInsert
        Update: AsyncJobPart
        Relationships: [
          {
            foreignKeyName: 'async_jobs_guest_id_fkey'
            columns: ['guest_id']
            isOneToOne: false
            referencedRelation: 'guest_users'
            referencedColumns: ['guest_id']
          },
        ]
      }
      guest_users: {
        Row: GuestUser
        Insert: GuestUserInsert
        Update: GuestUserPart
        Relationships: []
      }
    }
    Views: Record<never, never>
    Functions: {
      migrate_guest_jobs: { Args: MigrateGuestJobsArgs; Returns: MigrateGuestJobsRow[] }
      cleanup_old_jobs: { Args: CleanupOldJobsArgs; Returns: CleanupOldJobsRow[] }
      cleanup_inactive_guests: { Args: CleanupInactiveGuestsArgs; Returns: CleanupInactiveGuestsRow[] }
      claim_jobs: { Args: ClaimJobsArgs; Returns: ClaimedJob[] }
      heartbeat_job: { Args: HeartbeatJobArgs; Returns: boolean }
      complete_job: { Args: CompleteJobArgs; Returns: boolean }
      complete_jobs: { Args: CompleteJobsArgs; Returns: number }
      fail_jobs: { Args: FailJobsArgs; Returns: number }
      fail_job: { Args: FailJobArgs; Returns: boolean }
      complete_and_claim: { Args: CompleteAndClaimArgs; Returns: ClaimedJob[] }
      requeue_stale_jobs: { Args: RequeueStaleJobsArgs; Returns: RequeueStaleJobsRow[] }
    }
    Enums: Record<never, never>
    CompositeTypes: Record<never, never>
  }
}
